"""What the pipeline costs, measured: `python -m bench`, or `make bench`. Nothing here runs in production."""
