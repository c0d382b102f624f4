"""The watch's timers: recovery of what a crash or a lost message left behind, and looks at how everything stands."""

from __future__ import annotations

import logging

import azure.functions as func

from functions import telemetry
from functions.pipeline import heartbeat
from shared.clock import utc_now
from shared.each import each
from shared.gauges import of_status

bp = func.Blueprint()
log = logging.getLogger("retention.watch")


@bp.timer_trigger(arg_name="timer", schedule="30 * * * * *")
async def watch_journals(timer: func.TimerRequest) -> None:
    """Every minute: recover old open journals; ring the ledger's doorbell while settled ones wait; settle new holds."""
    del timer
    async with heartbeat("watch_journals") as app:
        steps = {"journals": app.watch.journals, "holds": app.holding.watch}
        await each(steps, lambda name: steps[name](), log=log, say=lambda name: name)


@bp.timer_trigger(arg_name="timer", schedule="45 */5 * * * *")
async def watch_requests(timer: func.TimerRequest) -> None:
    """Every five minutes: send requests that have not moved to their sessions again; dismiss dead letters made good."""
    del timer
    async with heartbeat("watch_requests") as app:
        steps = {"idle requests": app.watch.idle_requests, "parked dead letters": app.dead_letters.look_again}
        await each(steps, lambda name: steps[name](), log=log, say=lambda name: name)


@bp.timer_trigger(arg_name="timer", schedule="50 */15 * * * *")
async def watch_overdue(timer: func.TimerRequest) -> None:
    """Every 15 minutes: ask the stores themselves what should be gone and is not."""
    del timer
    async with heartbeat("watch_overdue") as app:
        await app.overseer.watch(utc_now())


@bp.timer_trigger(arg_name="timer", schedule="55 */5 * * * *")
async def watch_metrics(timer: func.TimerRequest) -> None:
    """Every five minutes: tell monitoring how everything stands, where there is monitoring."""
    del timer
    async with heartbeat("watch_metrics") as app, telemetry.flushed():
        if telemetry.is_on():
            telemetry.record(of_status(await app.gathering.gather(), after=app.gathering.after))


@bp.timer_trigger(arg_name="timer", schedule="40 */15 * * * *")
async def watch_posture(timer: func.TimerRequest) -> None:
    """Every 15 minutes: ask the stores for their settings, where the last look is a day old or found something."""
    del timer
    async with heartbeat("watch_posture") as app:
        await app.posture.watch(utc_now())
