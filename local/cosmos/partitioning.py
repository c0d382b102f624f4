"""Where an item lives: partition key values, their hash, and the ranges of a container.

The hash of a version 2 partition key is MurmurHash3 (x64, 128 bits, seed 0) over the typed value, read as 16 bytes
from the most significant, with the two top bits cleared. Effective partition keys are compared as upper-case
hexadecimal text; the whole space is "" (inclusive) to "FF" (exclusive). MurmurHash3 is Austin Appleby's, in the
public domain: https://github.com/aappleby/smhasher/wiki/MurmurHash3

Refuses: more than one component (hierarchical keys), arrays and objects, the empty key of migrated containers.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise

from local.cosmos.errors import NotModelledError, bad_request
from local.cosmos.values import UNDEFINED, Json, Undefined, Value, parse_json, to_json

MAX_KEY_BYTES = 2048
_MASK = 2**64 - 1
_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F
_BLOCK = 16
_HALF = 8


@dataclass(frozen=True, kw_only=True)
class PartitionKey:
    """One partition key value.

    :param canonical: text that is equal exactly when the values are equal; ``[{}]`` for undefined.
    :param hashed: the effective partition key, 32 hexadecimal digits.
    """

    canonical: str
    hashed: str


@dataclass(frozen=True, kw_only=True)
class HashRange:
    """Effective partition keys from `first` (inclusive) to `end` (exclusive)."""

    first: str
    end: str

    def holds(self, key: PartitionKey) -> bool:
        """Whether the key lies in the range."""
        return self.first <= key.hashed < self.end


def partition_key(value: Value) -> PartitionKey:
    """The partition key of a value as it stands in an item.

    :raises RefusedError: 400 for an array, an object or more than 2,048 bytes.
    """
    if isinstance(value, list | dict):
        raise bad_request("a partition key value must be a string, a number, a Boolean, null or missing")
    if isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise bad_request("a partition key value must not exceed 2048 bytes")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value) + 0.0  # 1 and 1.0, 0 and -0 are one key
    canonical = "[{}]" if value is UNDEFINED else to_json([value])
    return PartitionKey(canonical=canonical, hashed=_hash(value))


def partition_key_of_header(header: str) -> PartitionKey:
    """The partition key that a request names in ``x-ms-documentdb-partitionkey``, a JSON array of one component."""
    if not header.isascii():
        raise bad_request("x-ms-documentdb-partitionkey must be written in ASCII")
    components = parse_json(header)
    if not isinstance(components, list):
        raise bad_request("x-ms-documentdb-partitionkey must be a JSON array")
    if len(components) != 1:
        what = f"a partition key of {len(components)} components"
        raise NotModelledError(what)
    component: Json = components[0]
    return partition_key(UNDEFINED if component == {} else component)


def ranges(count: int) -> list[HashRange]:
    """The hash space cut into `count` equal ranges."""
    top = 1 << 126
    inner = [f"{top * index // count:032X}" for index in range(1, count)]
    return [HashRange(first=first, end=end) for first, end in pairwise(["", *inner, "FF"])]


def _hash(value: Value) -> str:
    digest = murmur3_x64_128(_typed_bytes(value))
    return f"{digest & ((1 << 126) - 1):032X}"


def _typed_bytes(value: Value) -> bytes:
    match value:
        case Undefined.VALUE:
            return b"\x00"
        case None:
            return b"\x01"
        case bool():
            return b"\x03" if value else b"\x02"
        case int() | float():
            return b"\x05" + struct.pack("<d", float(value))
        case _:
            return b"\x08" + str(value).encode("utf-8", "surrogatepass") + b"\xff"


def murmur3_x64_128(data: bytes) -> int:
    """MurmurHash3 with seed 0; the second half of the result is the more significant one, as Cosmos DB reads it."""
    h1 = h2 = 0
    whole = len(data) - len(data) % _BLOCK
    for at in range(0, whole, _BLOCK):
        k1, k2 = struct.unpack_from("<QQ", data, at)
        h1 ^= _mix_k1(k1)
        h1 = ((_rotate(h1, 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 ^= _mix_k2(k2)
        h2 = ((_rotate(h2, 31) + h1) * 5 + 0x38495AB5) & _MASK
    tail = data[whole:]
    h2 ^= _mix_k2(int.from_bytes(tail[_HALF:], "little"))
    h1 ^= _mix_k1(int.from_bytes(tail[:_HALF], "little"))
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1 = _finish(h1)
    h2 = _finish(h2)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return h2 << 64 | h1


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _mix_k1(value: int) -> int:
    return _rotate(value * _C1 & _MASK, 31) * _C2 & _MASK


def _mix_k2(value: int) -> int:
    return _rotate(value * _C2 & _MASK, 33) * _C1 & _MASK


def _finish(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
