"""How much a test does: a little in every run, far more where RETENTION_FAULTS=long asks for it."""

import os

LONG = os.environ.get("RETENTION_FAULTS") == "long"


def effort(short: int, long: int) -> int:
    """How many, or how long: the first number in `make test`, the second in `make faults`."""
    return long if LONG else short
