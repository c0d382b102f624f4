"""How the cost of a run grows: with what is stored, and with what has expired. Ours, planning included, on the stub.

First 1,000 expired among 2,000, 20,000 and 200,000 stored: the requests and the time of the whole run. Then none,
2,000, 20,000, 100,000 and 400,000 expired and nothing else: the time for each record, and the worker's peak memory.
"""

from __future__ import annotations

from bench.measure import say
from bench.on_stub import prepare, swept
from bench.result import Result
from bench.scenario import main
from bench.stub_process import StubProcess, stub

EXPIRED = 1_000
STORED = (2_000, 20_000, 200_000)
MANY = (2_000, 20_000, 100_000, 400_000)
LONG = 100_000
"""From so many on, once is enough: a run takes 15 s and more."""

AN_HOUR = 13
"""Pictures of each camera of 50 homes in an hour: what is kept is then of less than seven days, at every size."""

HOMES = 10
HOURS = 100
"""Whatever number has expired is of HOMES homes in HOURS hours, so that as many slices are swept at once."""


def run(*, quick: bool) -> list[Result]:
    """All figures."""
    found: list[Result] = []
    with stub() as server:
        prepare(server)
        swept(server, EXPIRED, 0, an_hour=AN_HOUR)  # makes the homes' keys
        for stored in STORED[:1] if quick else STORED:
            found += _stored(server, stored, 1 if quick else 3)
        found.append(_nothing(server, 1 if quick else 3))
        for expired in MANY[:1] if quick else MANY:
            found += _expired(server, expired, 1 if quick or expired >= LONG else 3)
    return found


def _stored(server: StubProcess, stored: int, times: int) -> list[Result]:
    runs = [swept(server, EXPIRED, stored - EXPIRED, an_hour=AN_HOUR) for _ in range(times)]
    say(f"{stored:,} stored: {runs[0][1]} requests")
    name = f"growth/stored/{stored}"
    return [
        Result(name=f"{name}/requests", unit="requests", samples=tuple(float(requests) for _, requests in runs)),
        Result(name=f"{name}/seconds", unit="s", samples=tuple(cost.seconds for cost, _ in runs)),
    ]


def _nothing(server: StubProcess, times: int) -> Result:
    """What the worker needs before any record: imports, connections, a plan that finds nothing."""
    peaks = [swept(server, 0, 0)[0].peak for _ in range(times)]
    return Result(name="growth/expired/0/memory", unit="MB", samples=tuple(peaks))


def _expired(server: StubProcess, expired: int, times: int) -> list[Result]:
    an_hour = expired // (HOMES * 2 * HOURS)
    runs = [swept(server, expired, 0, homes=HOMES, an_hour=an_hour) for _ in range(times)]
    name = f"growth/expired/{expired}"
    cost = runs[0][0]
    say(f"{expired:,} expired: {1000 * cost.seconds / expired:.3f} ms each, {cost.peak:.0f} MB")
    return [
        Result(name=f"{name}/time", unit="ms/record", samples=tuple(1000 * c.seconds / expired for c, _ in runs)),
        Result(name=f"{name}/cpu", unit="ms CPU/record", samples=tuple(1000 * c.cpu / expired for c, _ in runs)),
        Result(name=f"{name}/memory", unit="MB", samples=tuple(c.peak for c, _ in runs)),
        Result(name=f"{name}/requests", unit="requests/record", samples=tuple(n / expired for _, n in runs)),
    ]


if __name__ == "__main__":
    main(run)
