"""Posture: what the stores' real settings make of each promise. Three modules are pure, the others read."""
