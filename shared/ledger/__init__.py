"""The audit log: one C2SP tiled Merkle log per calendar year. Begin with `log`, then `seal`, `publish`, `verify`."""
