"""How many requests may begin their work in an hour: a bound on what a flood of messages, or a mistake, can erase.

One small document per clock hour in the container of runs, `requests/rate/<hour>`, changed by compare-and-swap; its
metadata `ended_at` lets the container's own retention take it. It names requests by their ids, and nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.documents import Form, read, write
from shared.errors import ChangedError, ExistsError, TransientError
from shared.model import utc_text
from shared.stores.interface import ObjectStore

ATTEMPTS = 20
"""Of one write that others are faster with."""


class Admitted(Form):
    """The requests that began their work in one hour."""

    requests: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The bound: at most `most` different requests an hour. `objects` is the container of runs."""

    objects: ObjectStore
    most: int

    async def admit(self, request: str, now: datetime) -> bool:
        """Whether the request may begin its work in the clock hour (UTC) of `now`; if so it is noted, once.

        Asked again within the hour the answer stays yes. Raises TransientError when others were faster too often.
        """
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        name = f"requests/rate/{hour:%Y-%m-%dT%HZ}"
        metadata = {"ended_at": utc_text(hour + timedelta(hours=1))}
        for _ in range(ATTEMPTS):
            held = await read(self.objects, name, Admitted)
            admitted = held.value.requests if held else ()
            if request in admitted:
                return True
            if len(admitted) >= self.most:
                return False
            try:
                value = Admitted(requests=(*admitted, request))
                await write(self.objects, name, value, held.etag if held else None, metadata=metadata)
            except (ChangedError, ExistsError):
                continue
            return True
        raise TransientError("the count of this hour's requests changed too often at once")
