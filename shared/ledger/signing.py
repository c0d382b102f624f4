"""The log's signer, made of the settings: role ledger's, and that of whoever checks with an app's own seed. Pure."""

from __future__ import annotations

from shared.config import Config
from shared.ledger.checkpoint import Signer, former_keys


def signer(config: Config, origin: str) -> Signer:
    """The signer of the log of this origin. Raises ConfigError; in role pipeline always: who deletes does not sign."""
    former = former_keys(config.text("LEDGER_FORMER_KEYS"), origin)
    return Signer(name=origin, seed=config.signing_seed(), former=former)
