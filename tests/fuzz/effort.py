"""How much a random test does: a little in every run, far more where RETENTION_FAULTS=long asks for it."""

import os

LONG = os.environ.get("RETENTION_FAULTS") == "long"


def effort(short: int, long: int) -> int:
    """How many of them: the first number in `make test`, the second in `make faults`."""
    return long if LONG else short
