"""Worker, ledger, broker and Cosmos server are killed at random in the middle of the work; then all must be true.

RETENTION_KILLS is how many kills, RETENTION_KILL_SEED repeats their choices (not their exact moments: those are the
machine's). `make faults` kills 200 and more.
"""

import os
import secrets
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from afterwards import Found, check
from company import Company
from effort import effort
from killing import Tally, kill_all, plans, recovered, until
from victims import SECONDS, Site

from local.prepare import prepare
from local.servers import start_all
from shared.wiring import Product

KILLS = int(os.environ.get("RETENTION_KILLS") or effort(8, 210))
SEED = int(os.environ.get("RETENTION_KILL_SEED") or secrets.randbelow(1_000_000))


@pytest.mark.timeout(240 + 15 * KILLS)
async def test_kills_at_any_moment_leave_no_record_gone_without_its_event_and_no_event_untrue(
    tmp_path: Path,
) -> None:
    print(f"\nkills: {KILLS}, RETENTION_KILL_SEED={SEED}", flush=True)  # noqa: T201 - to repeat it
    site = Site(tmp_path)
    try:
        start_all(site.stack.processes)
        await prepare(site.config)
        start_all(tuple(site.apps.values()))
        async with Product(site.config) as product:
            company = Company(product=product, chance=Random(f"{SEED}/company"))
            await company.begin()
            await _held(site, company)
            tally = await _killed(site, company)
            tally.waited = await recovered(site, company, seconds=180 + KILLS)
            found = await check(site, company)
    finally:
        site.stop()
    print(_told(tally, found))  # noqa: T201 - what `make faults` is read for
    assert sum(tally.kills.values()) == KILLS
    assert found.gone > 10 * KILLS


async def _held(site: Site, company: Company) -> None:
    """The hold is in force before the first sweep."""
    await company.hold()

    async def in_force() -> bool:
        await company.product.holding.watch()
        holds = await company.product.gate.holds.read()
        return bool(holds) and all(hold.in_force == "yes" for hold in holds)

    await until(in_force, 60, "the hold is not in force", site.tails)


async def _killed(site: Site, company: Company) -> Tally:
    backlog = min(400, 12 * KILLS)
    await company.add_due(backlog * 3 // 4, backlog // 4)
    async with site.firing(SECONDS, SEED):
        return await kill_all(site, company, plans(SEED, KILLS), backlog=backlog)


def _told(tally: Tally, found: Found) -> str:
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(tally.kills.items()))
    landed = [f"  {number:4} {kind}: {where}" for (kind, where), number in sorted(tally.landed.items())]
    outcomes = ", ".join(f"{name} {number}" for name, number in Counter(found.outcomes).most_common())
    return "\n".join(
        [
            f"kills in {tally.seconds:.0f} s: {kinds}; {tally.missed} of them missed the moment they waited for",
            *landed,
            f"recovery took {tally.waited:.0f} s",
            f"records {found.records}, gone {found.gone}; their events: {outcomes}",
            f"records that a sweep and a request met: {found.twice}; requests, each with one result: {found.requests}",
            f"runs {found.runs}, units that only the log counts: {found.uncounted}",
            f"events {found.events}, byte-identical repeats {found.repeats}; messages parked and made good: {found.dismissed}",
        ]
    )
