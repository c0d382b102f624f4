"""The watch's timer: recovery of what a crash or a lost message left behind."""

from __future__ import annotations

import azure.functions as func

from functions.host import product

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="30 * * * * *")
async def watch_journals(timer: func.TimerRequest) -> None:
    """Every minute: recover old open journals; ring the ledger's doorbell while settled ones wait."""
    del timer
    app = await product()
    await app.watch.journals()


@bp.timer_trigger(arg_name="timer", schedule="45 */5 * * * *")
async def watch_requests(timer: func.TimerRequest) -> None:
    """Every five minutes: send requests that have not moved to their sessions again."""
    del timer
    app = await product()
    await app.watch.idle_requests()
