"""The ports and their adapters, one file each."""
