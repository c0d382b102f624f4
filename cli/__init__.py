"""Door 2: the command line, for people."""
