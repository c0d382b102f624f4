"""The master key signature of a request.

https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources. Refuses tokens of other kinds
(resource tokens, Entra ID). The age of ``x-ms-date`` is not checked: this server's clock may have been moved.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import unquote

from local.cosmos.errors import RefusedError


def check_signature(
    *, key: str, method: str, segments: Sequence[str], by_rid: bool, headers: Mapping[str, str]
) -> None:
    """Compare the request's signature with the account key's.

    :param key: the account key, base64.
    :param segments: the decoded path, split at slashes.
    :param by_rid: the path names resources by ``_rid``; then the signed link is the last ``_rid`` in lower case.
    :param headers: with lower-case names.
    :raises RefusedError: 401.
    """
    is_feed = len(segments) % 2 == 1
    resource_type = segments[-1] if is_feed else "".join(segments[-2:-1])
    owner = segments[:-1] if is_feed else segments
    link = "".join(owner[-1:]).lower() if by_rid else "/".join(owner)
    date = headers.get("x-ms-date", "").lower()
    http_date = headers.get("date", "").lower()
    text = f"{method.lower()}\n{resource_type.lower()}\n{link}\n{date}\n{http_date}\n"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    wanted = f"type=master&ver=1.0&sig={base64.b64encode(digest).decode()}"
    given = unquote(headers.get("authorization", ""))
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        message = "The input authorization token can't serve the request: the signature is missing or wrong"
        raise RefusedError(HTTPStatus.UNAUTHORIZED, message)
