"""`python -m bench.log_code`: the log's own code, on one core, with stores in memory: no server, no SDK, no network.

Journals of 1,000 events go through the steps of `shared.ledger.log.append`, one commit after the other, and what was
appended is sealed and published, to a topic that takes everything. Each step is measured by the CPU time of the
process, and told apart:

- read: list the settled journals, read them, check every event in them (`outbox.gather`);
- commit: hash the leaves, write the staging object, swap the head;
- finish: read head and staging back, check them against each other, write tiles and bundles, delete the journals, swap
  the head;
- seal: prove the growth, sign; its time for one seal, as each minute has one, however much was appended;
- publish: read the bundles back, check every event, give each its place, make the batches.

`append` is read, commit and finish together, `whole` all five.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.journals import SettledJournal, journals, post
from bench.measure import BenchError
from bench.result import Result
from bench.scenario import main
from shared.ledger.checkpoint import Signer
from shared.ledger.head import Ledger
from shared.ledger.log import (
    MOST_ENTRIES,
    MOST_JOURNALS,
    _commit,  # the third of append's steps, to be timed apart from the others
    ready,
)
from shared.ledger.outbox import gather
from shared.ledger.publish import publish
from shared.ledger.seal import seal
from shared.stores.memory import MemoryObjects

YEAR = "2026"
STEPS = ("read", "commit", "finish", "seal", "publish")
REPETITIONS = 5


class _Deaf:
    """A topic that takes everything."""

    async def send(self, batch: bytes, /, *, message_id: str) -> None:
        """Take it."""


class _Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def running(self, step: str) -> Iterator[None]:
        """Count what is done in here to a step."""
        began = time.process_time()
        yield
        self.spent[step] += time.process_time() - began


async def _through(made: list[SettledJournal]) -> dict[str, float]:
    """CPU seconds that each step takes for all the journals."""
    ledger = Ledger(
        origin="local.example/retention", tiles=MemoryObjects(), state=MemoryObjects(), journals=MemoryObjects()
    )
    for each in made:
        await post(ledger.journals, each, log=YEAR)
    events = sum(len(each.events) for each in made)
    clock = _Clock()
    with clock.running("finish"):
        current = await ready(ledger, YEAR)
    while True:
        with clock.running("read"):
            batch = await gather(ledger.journals, YEAR, most_journals=MOST_JOURNALS, most_entries=MOST_ENTRIES)
        if not batch.intents:
            break
        with clock.running("commit"):
            await _commit(ledger, YEAR, current, batch)
        with clock.running("finish"):
            current = await ready(ledger, YEAR)
    with clock.running("seal"):
        checkpoint = await seal(ledger, YEAR, Signer(name=ledger.origin_of(YEAR), seed=bytes(32)))
    with clock.running("publish"):
        published = await publish(ledger, YEAR, _Deaf())
    if checkpoint is None or not checkpoint.size == published == events:
        raise BenchError("not every event was appended, sealed and published")
    return clock.spent


def run(*, quick: bool) -> list[Result]:
    """Measure; a second or two where `quick`."""
    count, repetitions = (5, 1) if quick else (100, REPETITIONS)
    made = list(journals(count))
    events = sum(len(each.events) for each in made)
    spent = [asyncio.run(_through(made)) for _ in range(repetitions)]
    parts = {"whole": STEPS, "append": STEPS[:3], **{step: (step,) for step in STEPS if step != "seal"}}
    return [
        *(
            Result(
                name=f"log-code/{name}",
                unit="events/s of CPU",
                samples=tuple(events / sum(each[step] for step in steps) for each in spent),
            )
            for name, steps in parts.items()
        ),
        Result(name="log-code/seal", unit="ms of CPU", samples=tuple(1_000 * each["seal"] for each in spent)),
    ]


if __name__ == "__main__":
    main(run)
