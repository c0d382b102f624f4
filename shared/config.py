"""Every setting the product reads, in one table, and the typed Config made of them.

Connections follow the Functions convention: NAME is a connection string (keys, emulators), NAME__<property> reaches the
service by identity: the app's own, or the user-assigned one that AZURE_CLIENT_ID (for all) or NAME__clientId (for one)
names. For the command line, RETENTION_SETTINGS names the settings file. The README's table is tested against SETTINGS.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from shared.errors import ConfigError

Role = Literal["pipeline", "ledger", "all"]
DEVELOPMENT_SEED = base64.b64encode(b"development-seed-never-for-real!").decode()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: its default (None where it must be given), what it means, and which roles' functions read it.

    Deployments give each app the settings of its role and no others; a test holds `roles` to what is really read.
    """

    name: str
    default: str | None
    meaning: str
    roles: tuple[Literal["pipeline", "ledger"], ...] = ("pipeline",)
    secret: bool = False


_ORIGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9._~-]+)+")  # infra/parameters.py has the same one
_REFERENCE: Final = "@Microsoft.KeyVault("
_BOTH: Final = ("pipeline", "ledger")

SETTINGS = (
    Setting(
        name="APP_ROLE",
        default=None,
        roles=_BOTH,
        meaning="which functions this app registers: pipeline, ledger, or all",
    ),
    Setting(name="POLICY_FILE", default="policy.yaml", roles=_BOTH, meaning="the policy, a path from the app's root"),
    Setting(
        name="ServiceBus",
        default=None,
        roles=_BOTH,
        meaning="Service Bus; by identity: ServiceBus__fullyQualifiedNamespace",
    ),
    Setting(name="BLOB_DATA", default=None, meaning="account of the snapshots; by identity: BLOB_DATA__serviceUri"),
    Setting(name="BLOB_BACKUP", default=None, meaning="account of the backup sets; BLOB_BACKUP__serviceUri"),
    Setting(
        name="BLOB_STATE", default=None, roles=_BOTH, meaning="journals, runs, requests, keys; BLOB_STATE__serviceUri"
    ),
    Setting(
        name="BLOB_LEDGER", default=None, roles=_BOTH, meaning="the audit log and the register; BLOB_LEDGER__serviceUri"
    ),
    Setting(name="COSMOS_MAIN", default=None, meaning="Cosmos DB; by identity: COSMOS_MAIN__accountEndpoint"),
    Setting(name="COSMOS_MAIN_DATABASE", default=None, meaning="the database of the governed containers"),
    Setting(
        name="LEDGER_ORIGIN",
        default=None,
        roles=_BOTH,
        meaning="the log's name, a host and path of yours; the year is added",
    ),
    Setting(
        name="LEDGER_SIGNING_SEED",
        default=None,
        roles=("ledger",),
        secret=True,
        meaning="base64 of 32 random bytes; role ledger only",
    ),
    Setting(
        name="LEDGER_FORMER_KEYS",
        default="",
        roles=("ledger",),
        meaning="verifier keys of seeds that signed before, with spaces between",
    ),
    Setting(
        name="LEDGER_VERIFIER_KEY",
        default="",
        roles=(),
        meaning="the published verifier keys that `audit verify` trusts",
    ),
    Setting(
        name="AZURE_SUBSCRIPTION_ID",
        default="",
        meaning="subscription of the accounts: the management API tells settings that posture needs",
    ),
    Setting(name="RETENTION_CONCURRENCY", default="8", meaning="calls at once within one unit of work, 1 to 256"),
    Setting(name="RETENTION_UNIT", default="1000", meaning="records in one journal, 1 to 1000"),
    Setting(name="RETENTION_SLICES", default="16", meaning="slices of one run at most, 1 to 256"),
    Setting(name="RETENTION_TIME_BUDGET", default="200", meaning="seconds after which a worker queues a continuation"),
    Setting(
        name="RETENTION_RESEND_AFTER",
        default="600",
        meaning="seconds after which unfinished slices are sent again; below 300 for tests alone",
    ),
    Setting(
        name="RETENTION_RECOVER_AFTER",
        default="600",
        meaning="seconds after which an open journal is recovered; below 300 for tests alone",
    ),
    Setting(name="RETENTION_CAP", default="100000", meaning="records that one run may find without approval"),
    Setting(
        name="RETENTION_CAP_FACTOR", default="10", meaning="times the median of the last runs, which is another cap"
    ),
    Setting(name="RETENTION_CAP_FLOOR", default="1000", meaning="records below which that median never counts"),
    Setting(
        name="RETENTION_REQUESTS_PER_HOUR", default="1000", meaning="requests that may begin their work in an hour"
    ),
)
_RANGES = {
    "RETENTION_CONCURRENCY": (1, 256),
    "RETENTION_UNIT": (1, 1000),
    "RETENTION_SLICES": (1, 256),
    "RETENTION_TIME_BUDGET": (1, 480),
    "RETENTION_RESEND_AFTER": (1, 86_400),
    "RETENTION_RECOVER_AFTER": (1, 86_400),
    "RETENTION_CAP": (1, 1_000_000_000),
    "RETENTION_CAP_FACTOR": (1, 1_000),
    "RETENTION_CAP_FLOOR": (1, 1_000_000_000),
    "RETENTION_REQUESTS_PER_HOUR": (1, 10_000),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings, read. A part that a role does not need is read when it is asked for: see `connection`."""

    values: Mapping[str, str] = field(repr=False)  # connection strings and the seed are among them

    def text(self, name: str) -> str:
        """A setting, or its default. Raises ConfigError when it has neither, or is no name that a log can have."""
        setting = next(s for s in SETTINGS if s.name == name)
        value = self.values.get(name, "").strip() or setting.default
        if value is None:
            raise ConfigError(f"setting {name} is missing: {setting.meaning}")
        return log_name(value, f"setting {name}") if name == "LEDGER_ORIGIN" else value

    def number(self, name: str) -> int:
        """A whole number in its range. Raises ConfigError."""
        low, high = _RANGES[name]
        text = self.text(name)
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ConfigError(f"setting {name} must be a whole number from {low} to {high}")
        return int(text)

    @property
    def role(self) -> Role:
        """Which functions to register. Raises ConfigError."""
        match self.text("APP_ROLE"):
            case "pipeline":
                return "pipeline"
            case "ledger":
                return "ledger"
            case "all":
                return "all"
            case _:
                raise ConfigError("setting APP_ROLE must be pipeline, ledger or all")

    @property
    def policy_file(self) -> Path:
        """The policy's path."""
        return Path(__file__).parent.parent / self.text("POLICY_FILE")

    def connection(self, name: str, identity_property: str) -> tuple[Literal["string", "identity"], str]:
        """How to reach a service: a connection string, or the endpoint to reach by identity. Raises ConfigError."""
        endpoint = self.values.get(f"{name}__{identity_property}", "").strip()
        if endpoint:
            return "identity", endpoint
        return "string", self.text(name)

    def has(self, name: str) -> bool:
        """Whether a connection is configured in either way."""
        return any(key == name or key.startswith(f"{name}__") for key, value in self.values.items() if value.strip())

    def client_id(self, name: str) -> str | None:
        """The user-assigned identity of a connection, if it names one."""
        return self.values.get(f"{name}__clientId") or self.values.get("AZURE_CLIENT_ID")

    def signing_seed(self) -> bytes:
        """The 32 bytes of the log's Ed25519 seed. Raises ConfigError; the development seed signs only local logs.

        Role pipeline gets none, whatever its settings hold: who deletes does not sign.
        """
        if self.values.get("APP_ROLE") == "pipeline":
            raise ConfigError("role pipeline signs nothing: take LEDGER_SIGNING_SEED out of its settings")
        text = self.text("LEDGER_SIGNING_SEED")
        if text.startswith(_REFERENCE):  # the platform hands it on as it is where it got no secret
            raise ConfigError(
                "setting LEDGER_SIGNING_SEED: the vault's reference was not resolved: look at the app's identity, its "
                "role on the vault, the secret's name; the platform looks again after "
                "config/configreferences/appsettings/refresh (docs/operate.md#seed)"
            )
        try:
            seed = base64.b64decode(text, validate=True)
        except ValueError:
            seed = b""
        if len(seed) != 32:  # noqa: PLR2004 - Ed25519's seed, RFC 8032
            raise ConfigError("setting LEDGER_SIGNING_SEED must be the base64 of exactly 32 bytes")
        if seed == base64.b64decode(DEVELOPMENT_SEED) and not self._is_local("BLOB_LEDGER"):
            raise ConfigError("LEDGER_SIGNING_SEED is the public development seed: make one, `openssl rand -base64 32`")
        return seed

    def _is_local(self, name: str) -> bool:
        """Whether a storage account's connection string leads to a server on this machine."""
        how, where = self.connection(name, "serviceUri")
        fields = dict(part.partition("=")[::2] for part in where.split(";"))
        endpoint = "" if how == "identity" else fields.get("BlobEndpoint", "")
        return urlsplit(endpoint).hostname in ("127.0.0.1", "localhost")


def log_name(text: str, where: str) -> str:
    """A log's name without the year, which is for ever. Raises ConfigError, which says `where` it came from."""
    if not _ORIGIN.fullmatch(text):
        raise ConfigError(
            f"{where}: a log's name is a host and a path, as in log.example.com/retention: no scheme, white space, "
            "plus, or slash at the end"
        )
    return text


def load(environment: Mapping[str, str], settings_file: Path | None = None) -> Config:
    """Read the environment, over a settings file if one is given.

    The file is in the Functions format (its `Values` count), or holds a deployment's values: one JSON object of texts,
    as `azd env get-values --output json` prints it. Raises ConfigError that names the file when it cannot be read.
    """
    values: dict[str, str] = {}
    if settings_file is not None:
        try:
            values.update({k: str(v) for k, v in _of_file(json.loads(settings_file.read_text())).items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            wanted = "it needs an object Values, or what `azd env get-values --output json` prints"
            raise ConfigError(f"{settings_file}: no settings file: {wanted} ({error})") from None
    names = {s.name for s in SETTINGS}
    values.update({k: v for k, v in environment.items() if k.split("__")[0] in names or k == "AZURE_CLIENT_ID"})
    return Config(values=values)


def _of_file(found: Any) -> Mapping[str, Any]:
    """The values in a settings file's JSON. Raises KeyError, TypeError or AttributeError for another document."""
    names = {s.name for s in SETTINGS}
    deployed = "Values" not in found and all(isinstance(each, str) for each in found.values())
    if deployed and any(name.split("__")[0] in names for name in found):
        return dict(found)
    return {**found["Values"]}
