"""Which keys a log is checked with: those that somebody was given, before those that lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli import output
from shared.config import Config
from shared.errors import ConfigError
from shared.ledger.checkpoint import CheckpointError, Verifier, parse_vkey
from shared.ledger.signing import signer
from shared.ledger.source import VERIFIER_KEY


def trusted(given: str | None, *, origin: str, folder: Path | None, config: Config) -> Sequence[Verifier]:
    """The keys of the log of this origin, live or in a folder: more than one where its key was changed.

    They are what --key gave (a key, or a file of keys), else the setting's, else with a warning the folder's own or
    the ones that this app's seed makes.

    Raises ConfigError when there is none, or one that cannot be read.
    """
    if given is not None:
        return _pick(_key_text(given), "--key", origin)
    setting = config.text("LEDGER_VERIFIER_KEY")
    if setting:
        return _pick(setting, "setting LEDGER_VERIFIER_KEY", origin)
    beside = folder / VERIFIER_KEY if folder else None
    if beside is not None and beside.is_file():
        output.note(
            f"warning: the key is the folder's own {VERIFIER_KEY}. It proves that the log is consistent, not whose "
            "it is: have the key from somewhere else, and give it with --key"
        )
        return _pick(beside.read_text(errors="replace"), str(beside), origin)
    if folder is None and config.has("LEDGER_SIGNING_SEED"):
        output.note(
            "warning: the key is made of this app's own LEDGER_SIGNING_SEED: an auditor gives the published one"
        )
        return signer(config, origin).verifiers
    raise ConfigError("no key to check with: give --key, or the setting LEDGER_VERIFIER_KEY")


def _key_text(given: str) -> str:
    """The option's value where that is a key, else the text of the file that it names."""
    try:
        parse_vkey(given)
    except CheckpointError:
        try:
            return Path(given).read_text(errors="replace")
        except OSError:
            raise ConfigError(
                "--key is neither a verifier key (<name>+<id>+<key>) nor a file that can be read"
            ) from None
    return given


def _pick(text: str, where: str, origin: str) -> Sequence[Verifier]:
    """The keys of this log in a text of one or more (each year's log has its own), else the first of them."""
    keys = keys_in(text, where)
    return [each for each in keys if each.name == origin] or keys[:1]


def keys_in(text: str, where: str) -> Sequence[Verifier]:
    """The keys in a text of one or more. Raises ConfigError, which says `where` it came from."""
    try:
        keys = [parse_vkey(each) for each in text.split()]
    except CheckpointError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not keys:
        raise ConfigError(f"{where}: holds no verifier key (<name>+<id>+<key>)")
    return keys
