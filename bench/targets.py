"""What was promised of speed, as data: a figure, or a ratio of two figures of one run, and its bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Target:
    """`figure` (over `to`, where that is named) is at least `bound`, or at most, where `least` is false.

    `worst`, of a ratio: not the medians are compared but the least sample of one with the greatest of the other.
    """

    text: str
    figure: str
    bound: float
    to: str | None = None
    least: bool = True
    worst: bool = False


_SLOWER_BLOBS = {"loop": "a loop of single deletes", "az": "`az storage blob delete-batch`"}
_SLOWER_ITEMS = {"loop": "a query with a loop"}


def _contest(prefix: str, where: str, slower: Mapping[str, str]) -> list[Target]:
    """Nearly as fast as the raw SDK, and faster than those who delete one by one."""
    ours = f"{prefix}/ours"
    return [
        Target(text=f"{where}: at least 0.9 of the raw SDK's speed", figure=ours, to=f"{prefix}/raw", bound=0.9),
        *(
            Target(
                text=f"{where}: faster than {words}, whatever the noise",
                figure=ours,
                to=f"{prefix}/{name}",
                bound=1.0,
                worst=True,
            )
            for name, words in slower.items()
        ),
    ]


TARGETS: tuple[Target, ...] = (
    Target(
        text="Stub: a core sweeps at least 5,000 pictures a second, with journal and events",
        figure="sweep-cpu/ours/sweep/rate of a core",
        bound=5_000,
    ),
    Target(
        text="Stub: client CPU a picture at most 0.25 of the raw SDK's, which lists blobs with ETags, as ours does",
        figure="sweep-cpu/ours/sweep/client CPU",
        to="sweep-cpu/raw/4 at once/client CPU",
        bound=0.25,
        least=False,
    ),
    Target(
        text="Stub: client CPU a picture at most 0.25 of the raw SDK's, which lists names alone",
        figure="sweep-cpu/ours/sweep/client CPU",
        to="sweep-cpu/raw names/8 at once/client CPU",
        bound=0.25,
        least=False,
    ),
    Target(
        text="Stub, 20 ms away: at least 100 times a loop of single deletes",
        figure="sweep-cpu/speed, ours over single deletes at 20 ms",
        bound=100,
    ),
    *_contest("blobs/0ms", "Azurite", _SLOWER_BLOBS),
    *_contest("blobs/20ms", "Azurite, 20 ms away", _SLOWER_BLOBS),
    *_contest("items/shared/0ms", "Cosmos DB server, a partition key for many", _SLOWER_ITEMS),
    *_contest("items/shared/20ms", "Cosmos DB server, a partition key for many, 20 ms away", _SLOWER_ITEMS),
    Target(
        text="Cosmos DB server, a partition key for many: at least 10 times a query with a loop",
        figure="items/shared/0ms/ours",
        to="items/shared/0ms/loop",
        bound=10,
    ),
    *_contest("items/apart/0ms", "Cosmos DB server, a partition key each", _SLOWER_ITEMS),
    *_contest("items/apart/20ms", "Cosmos DB server, a partition key each, 20 ms away", _SLOWER_ITEMS),
    Target(
        text="Requests with 200,000 stored: at most 1.1 times those with 2,000",
        figure="growth/stored/200000/requests",
        to="growth/stored/2000/requests",
        bound=1.1,
        least=False,
    ),
    Target(
        text="Peak memory with 100,000 expired: at most 1.2 times that with 2,000",
        figure="growth/expired/100000/memory",
        to="growth/expired/2000/memory",
        bound=1.2,
        least=False,
    ),
    Target(
        text="Erasing a person with 20,000 pictures: at most 1.2 times its raw deletes",
        figure="erasure/20000/ours",
        to="erasure/20000/raw",
        bound=1.2,
        least=False,
    ),
    Target(
        text="Erasing a person with 10 pictures: at most 1.2 times its raw deletes",
        figure="erasure/10/ours",
        to="erasure/10/raw",
        bound=1.2,
        least=False,
    ),
    Target(text="4 workers, 20 ms away: at least 3.5 times one", figure="workers/4", to="workers/1", bound=3.5),
    Target(
        text="The log through broker, function and Azurite: at least 3,000 events a second",
        figure="ledger-through/append",
        bound=3_000,
    ),
    Target(
        text="The log's code alone: at least 20,000 events a second are appended, sealed and published",
        figure="log-code/whole",
        bound=20_000,
    ),
    Target(
        text="Verifying: at least 0.5 of the speed of a bare SHA-256 loop",
        figure="verify/ours",
        to="verify/bare",
        bound=0.5,
    ),
    *(
        Target(
            text=f"Cold start, role {role}: the import takes at most 1.3 times that of its SDKs",
            figure=f"cold-start/{role}/app",
            to=f"cold-start/{role}/azure",
            bound=1.3,
            least=False,
        )
        for role in ("pipeline", "ledger")
    ),
)
