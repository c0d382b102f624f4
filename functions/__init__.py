"""Door 1: triggers, a few lines each."""
