"""What the stub of the Blob service keeps, and the bodies of its answers: listings, and the parts of a batch.

In memory, without versions, snapshots, leases or soft delete: an account that keeps nothing. Names are in the order of
code points. https://learn.microsoft.com/rest/api/storageservices/list-blobs and .../blob-batch
"""

import base64
import re
import uuid
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from itertools import count
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

MOST = 5_000
BATCH_MOST = 256
VERSION = "2026-02-06"
KNOWN = frozenset({"metadata", "snapshots", "versions", "deleted", "deletedwithversions"})
_LISTED = frozenset({"restype", "comp", "prefix", "marker", "maxresults", "delimiter", "include", "timeout"})
_PART = re.compile(rb"\r\nContent-ID: ?(\d+)\r\n\r\nDELETE (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)", re.IGNORECASE)
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_REASON = {202: "Accepted", 404: "The specified blob does not exist.", 412: "The condition is not met."}
_CODE = {404: "BlobNotFound", 412: "ConditionNotMet"}


class RefusedError(Exception):
    """An answer other than success: its status, and the service's error code or what is not modelled."""

    def __init__(self, status: int, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.status = status
        self.code = code


def not_modelled(what: str) -> RefusedError:
    """The refusal of what this stub does not model."""
    return RefusedError(501, "NotModelled", f"the stub does not model {what}")


@dataclass(slots=True)
class Blob:
    """One blob: its ETag without quotation marks, its times in seconds, and what was written."""

    etag: str
    created: float
    modified: float
    data: bytes
    metadata: Mapping[str, str]
    content_type: str = "application/octet-stream"


@dataclass(slots=True)
class Container:
    """Blobs by name. `names` is sorted, and may still have some that are gone."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def put(self, name: str, blob: Blob) -> None:
        """Write a blob."""
        if name not in self.blobs:
            place = bisect_left(self.names, name)
            if place == len(self.names) or self.names[place] != name:
                insort(self.names, name)
        self.blobs[name] = blob

    def remove(self, name: str) -> None:
        """Delete a blob that is there."""
        del self.blobs[name]
        if len(self.names) > 2 * len(self.blobs) + 1_000:
            self.names = [each for each in self.names if each in self.blobs]


_etags = count(0x8DE_0000_0000_0000)


def new_etag() -> str:
    """An ETag that nothing had before."""
    return f"0x{next(_etags):X}"


# ---------------------------------------------------------------- listings


def listing(container: Container, where: str, query: Mapping[str, str]) -> bytes:
    """List Blobs: the page that the query asks for. Raises RefusedError."""
    include = set(query.get("include", "").split(",")) - {""}
    if include - KNOWN or set(query) - _LISTED:
        raise not_modelled(f"a listing with {sorted(include - KNOWN | set(query) - _LISTED)}")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = min(int(query.get("maxresults", MOST)), MOST)
    names, blobs = container.names, container.blobs
    place = bisect_left(names, prefix)
    if query.get("marker"):
        place = max(place, bisect_left(names, base64.urlsafe_b64decode(query["marker"]).decode()))
    found: list[str] = []
    following = ""
    while place < len(names) and names[place].startswith(prefix):
        name = names[place]
        if name not in blobs:
            place += 1
            continue
        if len(found) == most:
            following = base64.urlsafe_b64encode(name.encode()).decode()
            break
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            folder = name[: cut + len(delimiter)]
            found.append(f"<BlobPrefix>{_name(folder)}</BlobPrefix>")
            place = bisect_right(names, folder + "\U0010ffff")
        else:
            found.append(_entry(name, blobs[name], metadata="metadata" in include))
            place += 1
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults {where}>'
        f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{most}</MaxResults><Blobs>{''.join(found)}</Blobs>"
        f"<NextMarker>{following}</NextMarker></EnumerationResults>"
    )
    return body.encode()


def _name(name: str) -> str:
    if _NO_TEXT.search(name):  # what XML cannot hold comes percent-encoded
        encoded = "".join(c if c.isalnum() and c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in name)
        return f'<Name Encoded="true">{encoded}</Name>'
    return f"<Name>{escape(name)}</Name>"


def _entry(name: str, blob: Blob, *, metadata: bool) -> str:
    """A blob in a listing, with the properties that the service gives of a plain block blob."""
    pairs = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in blob.metadata.items()) if metadata else ""
    more = f"<Metadata>{pairs}</Metadata>" if pairs else "<Metadata />" if metadata else ""
    return (
        f"<Blob>{_name(name)}<Properties><Creation-Time>{http_date(blob.created)}</Creation-Time>"
        f"<Last-Modified>{http_date(blob.modified)}</Last-Modified><Etag>{blob.etag}</Etag>"
        f"<Content-Length>{len(blob.data)}</Content-Length><Content-Type>{blob.content_type}</Content-Type>"
        "<Content-Encoding /><Content-Language /><Content-CRC64 /><Content-MD5 /><Cache-Control />"
        "<Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
        "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>"
        "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>"
        f"{more}<OrMetadata /></Blob>"
    )


_dates: dict[int, str] = {}


def http_date(moment: float) -> str:
    """A time as HTTP writes it. Kept: a container's blobs share few seconds."""
    second = int(moment)
    text = _dates.get(second)
    if text is None:
        if len(_dates) > 1_000_000:  # noqa: PLR2004 - a bound for runs of days
            _dates.clear()
        text = _dates[second] = formatdate(second, usegmt=True)
    return text


# ---------------------------------------------------------------- batches


def batch(container: Container, path: str, content_type: str, body: bytes) -> tuple[str, bytes, int]:
    """Blob Batch of deletes: the answer's Content-Type and body, and how many parts it had. Raises RefusedError.

    `path` is `/ACCOUNT/CONTAINER/`, of which every part must be.
    """
    found = re.fullmatch(r"multipart/mixed; boundary=([^\s=\"]+)", content_type)
    if found is None:
        raise RefusedError(400, "InvalidInput", "a batch needs multipart/mixed and a plain boundary")
    pieces = body.split(b"--" + found[1].encode())
    if not 1 <= len(pieces) - 2 <= BATCH_MOST or pieces[0].strip() or pieces[-1].strip() != b"--":
        raise RefusedError(400, "InvalidInput", f"a batch has 1 to {BATCH_MOST} parts, and an end")
    mark = f"batchresponse_{uuid.uuid4()}"
    said = [_part(container, path.encode(), mark, piece) for piece in pieces[1:-1]]
    return f"multipart/mixed; boundary={mark}", f"{''.join(said)}--{mark}--\r\n".encode(), len(said)


def _part(container: Container, path: bytes, mark: str, piece: bytes) -> str:
    found = _PART.search(piece)
    if found is None:
        raise not_modelled("a part of a batch that is no DELETE")
    number, target, lines = found.groups()
    target, _, query = target.partition(b"?")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines.split(b"\r\n") if line)}
    unknown = set(headers) - _PART_HEADERS
    if unknown or not target.startswith(path) or (query and b"sig=" not in query):
        raise not_modelled(f"a part of a batch with {sorted(unknown)}, of another container, or with a query")
    if b"authorization" not in headers and b"sig=" not in query:
        raise RefusedError(403, "AuthenticationFailed", "a part of a batch has no authorization")
    name = unquote_to_bytes(target[len(path) :]).decode()
    blob = container.blobs.get(name)
    wanted = headers.get(b"if-match")
    status = 404 if blob is None else 412 if wanted not in {None, f'"{blob.etag}"'.encode()} else 202
    if status == 202:  # noqa: PLR2004 - Accepted
        container.remove(name)
    head = f"--{mark}\r\nContent-Type: application/http\r\nContent-ID: {number.decode()}\r\n\r\n"
    return head + answer_to_part(status)


_PART_HEADERS = {
    b"x-ms-delete-snapshots", b"if-match", b"x-ms-date", b"x-ms-client-request-id", b"authorization", b"x-ms-version",
    b"content-length",
}  # fmt: skip


def answer_to_part(status: int) -> str:
    """What follows a part's own headers: an HTTP answer of this status."""
    common = f"HTTP/1.1 {status} {_REASON[status]}\r\nx-ms-request-id: {uuid.UUID(int=next(_etags))}\r\n"
    common += f"x-ms-version: {VERSION}\r\n"
    code = _CODE.get(status)
    if code is None:
        return f"{common}x-ms-delete-type-permanent: true\r\n\r\n"
    text = error_body(code, _REASON[status])
    sized = f"Content-Length: {len(text)}\r\nContent-Type: application/xml\r\n"
    return f"{common}x-ms-error-code: {code}\r\n{sized}\r\n{text}\r\n"


def error_body(code: str, text: str) -> str:
    """The body of a refusal."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>'
    )


# ---------------------------------------------------------------- what a bench begins with


def pictures(
    number: int, *, until: datetime, homes: int = 50, cameras: int = 2, an_hour: int = 10
) -> Iterable[tuple[str, Blob]]:
    """Pictures in the layout of `camera-snapshots`, hour by hour back from `until`: the latest hour is not whole.

    An hour has `homes` times `cameras` times `an_hour` of them, each stored a second after its name's time.
    """
    hour = until.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    made = 0
    while made < number:
        hour -= timedelta(hours=1)
        folder, clock, start = f"{hour:%Y-%m-%d/%H}", f"{hour:%H}", hour.timestamp()
        for home in range(homes):
            for camera in range(cameras):
                for picture in range(an_hour):
                    if made == number:
                        return
                    second = picture * 3600 // an_hour
                    time_of_day = f"{clock}{second // 60:02}{second % 60:02}"
                    name = f"{folder}/home-{home:04}/camera-{camera}/{time_of_day}-{made:07}.jpg"
                    stored = start + second + 1
                    yield name, Blob(new_etag(), stored, stored, b"\xff\xd8picture", {}, "image/jpeg")
                    made += 1


def fill(container: Container, *, expired: int, kept: int, homes: int = 50, an_hour: int = 10) -> None:
    """Fill a container anew: `expired` pictures older than eight days, and `kept` ones of the last hours."""
    now = datetime.now(UTC)
    old = pictures(expired, until=now - timedelta(days=8), homes=homes, an_hour=an_hour)
    new = pictures(kept, until=now, homes=homes, an_hour=an_hour)
    container.blobs = {name: blob for each in (old, new) for name, blob in each}
    container.names = sorted(container.blobs)
