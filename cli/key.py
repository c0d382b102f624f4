"""`retention audit key`: the public key of a log, to publish before the log's first entry.

It is made of the signing seed, which comes by standard input and by no other way: a seed among the arguments would
stand in the shell's history and in the list of processes. Or it is made of a key that was published for another year:
one seed signs every year's log, and each log has a key of its own name. Refused: a seed that is not the base64 of 32
bytes, and a name that no log can have: a published key is for ever.
"""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import output, settings
from shared.config import log_name
from shared.errors import ConfigError
from shared.ledger.checkpoint import CheckpointError, Signer, Verifier, parse_vkey
from shared.ledger.head import YEAR

_MOST = 4_096


def key(
    *,
    origin: Annotated[
        str | None, typer.Option(metavar="NAME", help="The log's origin without the year; else setting LEDGER_ORIGIN.")
    ] = None,
    year: Annotated[str | None, typer.Option(metavar="YYYY", help="Of which year's log; else of this year's.")] = None,
    of: Annotated[
        str | None, typer.Option(metavar="VKEY", help="A key published for another year; then no seed is read.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Say the public key of a log's signing seed, which is read from standard input as base64.

    Publish it where an auditor finds it without asking whoever runs the log. Exit codes: 0 said, 2 wrong use: no seed,
    no key, no year.
    """
    year = year if year is not None else f"{datetime.now(UTC).year}"
    if not YEAR.fullmatch(year):
        raise ConfigError("--year: a log's year has four digits")
    if origin is not None:
        log_name(origin, "--origin")
    if of is None:
        name = origin if origin is not None else settings.config().text("LEDGER_ORIGIN")
        verifier = Signer(name=f"{name}/{year}", seed=_seed()).verifier
    else:
        known = _published(of)
        verifier = Verifier(name=f"{origin or known.name.rpartition('/')[0]}/{year}", public=known.public)
    if as_json:
        output.document({"log": verifier.name, "key": verifier.vkey})
    else:
        output.say(verifier.vkey)


def _seed() -> bytes:
    """The seed from standard input. Raises ConfigError, which shows nothing of it."""
    if sys.stdin.isatty():
        raise ConfigError("give the seed by standard input, from a file or a pipe: a terminal would show it")
    try:
        seed = base64.b64decode(sys.stdin.buffer.read(_MOST).strip(), validate=True)
    except ValueError:
        seed = b""
    if len(seed) != 32:  # noqa: PLR2004 - Ed25519's seed, RFC 8032
        raise ConfigError("standard input must hold the base64 of exactly 32 bytes")
    return seed


def _published(text: str) -> Verifier:
    """A key given by its text. Raises ConfigError."""
    try:
        known = parse_vkey(text)
    except CheckpointError as error:
        raise ConfigError(f"--of: {error}") from None
    if not YEAR.fullmatch(known.name.rpartition("/")[2]):
        raise ConfigError("--of: the key's name does not end with a year")
    return known
