"""Checkpoints: the signed statement "this log has so many entries and this root". Pure but for the signing key.

C2SP tlog-checkpoint in a C2SP signed note with an Ed25519 signature; the key's name is the log's origin. Refused with
CheckpointError: any bytes that are not exactly such a note, and a signature that does not verify. Signatures by
unknown keys are ignored, as the specification asks. https://c2sp.org/tlog-checkpoint https://c2sp.org/signed-note
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.errors import ConfigError, IntegrityError
from shared.ledger.merkle import HASH_BYTES

_ED25519 = b"\x01"
_ID_BYTES = 4
_NOTE_BYTES = 65_536  # far above ours of about 250 bytes, with room for sixteen more signatures
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+=*)")


class CheckpointError(IntegrityError):
    """Bytes are not a checkpoint of this log, or its signature is not by this key: somebody must look."""


def _unbase64(text: str) -> bytes:
    """Decode standard base64 in its one canonical spelling. Raises CheckpointError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError("a line of the note is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise CheckpointError("a line of the note is not canonical base64")
    return data


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Tree head: the log's origin, its number of entries, and the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """A log's public key: all that an auditor needs to have from us beforehand."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Key id: the first four bytes of SHA-256(name || newline || 0x01 || public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The verifier key in one line: `<name>+<8 hex>+<base64>`."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


def parse_vkey(text: str) -> Verifier:
    """Read a verifier key (a final newline is allowed). Raises CheckpointError, also when its id is not its own."""
    found = _VKEY.fullmatch(text.strip())
    if not found:
        raise CheckpointError("the verifier key is not of the form <name>+<id>+<key>")
    material = _unbase64(found["key"])
    if len(material) != 1 + HASH_BYTES or material[:1] != _ED25519:
        raise CheckpointError("the verifier key is not an Ed25519 key")
    verifier = Verifier(name=found["name"], public=material[1:])
    if verifier.id.hex() != found["id"]:
        raise CheckpointError("the verifier key's id does not belong to its name and key")
    return verifier


def former_keys(text: str, origin: str) -> tuple[Verifier, ...]:
    """Of verifier keys with white space between, those of the log `origin`. Raises ConfigError for a stranger's key."""
    try:
        keys = [parse_vkey(each) for each in text.split()]
    except CheckpointError as error:
        raise ConfigError(f"setting LEDGER_FORMER_KEYS: {error}") from None
    ours = origin.rpartition("/")[0]
    if strangers := [key.name for key in keys if key.name.rpartition("/")[0] != ours]:
        raise ConfigError(f"setting LEDGER_FORMER_KEYS: {strangers[0]} is no log of {ours}")
    return tuple(key for key in keys if key.name == origin)


class Signer:
    """Signs checkpoints of one log: `name` is its origin, `seed` the 32-byte Ed25519 seed. Never printed.

    `former` are the keys of seeds that signed this log before: it goes on from what they signed.
    """

    def __init__(self, *, name: str, seed: bytes, former: Sequence[Verifier] = ()) -> None:
        """Raises ConfigError for a seed that has not 32 bytes, or a name with white space or a plus."""
        if len(seed) != HASH_BYTES:
            raise ConfigError("the log's signing seed must have 32 bytes")
        if not re.fullmatch(r"[^\s+]+", name):
            raise ConfigError("a log's origin must not be empty nor hold white space or '+'")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name=name, public=self._key.public_key().public_bytes_raw())
        self.verifiers = (self.verifier, *former)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The signed note. Ed25519 is deterministic: the same checkpoint always gives the same bytes."""
        text = checkpoint.text()
        signature = base64.b64encode(self.verifier.id + self._key.sign(text.encode())).decode()
        return f"{text}\n\N{EM DASH} {self.verifier.name} {signature}\n".encode()


def _divide(note: bytes) -> tuple[str, list[str]]:
    """Text and signature lines of a note. Raises CheckpointError."""
    if len(note) > _NOTE_BYTES:
        raise CheckpointError("the note is too long")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("the note is not UTF-8") from error
    text, divider, signatures = whole.rpartition("\n\n")
    if not divider or not signatures.endswith("\n") or _CONTROL.search(whole):
        raise CheckpointError("the note is not text, an empty line and signature lines")
    return text + "\n", signatures[:-1].split("\n")


def read_checkpoint(note: bytes) -> Checkpoint:
    """The checkpoint a note states, its signatures unchecked. Raises CheckpointError for any other bytes."""
    text, _ = _divide(note)
    lines = text[:-1].split("\n")
    match lines:
        case [origin, size, root, *extensions] if origin and _SIZE.fullmatch(size) and all(extensions):
            checkpoint = Checkpoint(origin=origin, size=int(size), root=_unbase64(root))
        case _:
            raise CheckpointError("the note's text is not origin, size and root")
    if len(checkpoint.root) != HASH_BYTES:
        raise CheckpointError("the checkpoint's root has not 32 bytes")
    return checkpoint


def check_signature(note: bytes, *verifiers: Verifier) -> None:
    """Raise CheckpointError unless the note carries a signature of one of these keys, and none of them that fails."""
    text, lines = _divide(note)
    known = {(verifier.name, verifier.id): verifier for verifier in verifiers}
    signed = False
    for line in lines:
        match line.split(" "):
            case ["\N{EM DASH}", name, signature] if name and signature:
                raw = _unbase64(signature)
            case _:
                raise CheckpointError("a signature line is not dash, name and signature")
        verifier = known.get((name, raw[:_ID_BYTES]))
        if verifier is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(verifier.public).verify(raw[_ID_BYTES:], text.encode())
        except InvalidSignature as error:
            raise CheckpointError("the signature does not verify") from error
        signed = True
    if not signed:
        raise CheckpointError("the note carries no signature of this key")


def open_checkpoint(note: bytes, *verifiers: Verifier) -> Checkpoint:
    """The checkpoint of a note signed by one of these keys of one log, for that log. Raises CheckpointError."""
    check_signature(note, *verifiers)
    checkpoint = read_checkpoint(note)
    if any(checkpoint.origin != verifier.name for verifier in verifiers):
        raise CheckpointError("the checkpoint is of another log than the key")
    return checkpoint
