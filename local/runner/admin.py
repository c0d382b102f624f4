"""The runner's small HTTP door on the loopback address: is it ready, and fire this timer now.

`GET /admin/host/status` answers 200 when every listener is up, else 503. `POST /admin/functions/NAME` calls a timer
function and answers when it has ended: 202 when it succeeded, 500 when it raised, 404 for an unknown name, 400 for a
function that is no timer. The real host has the same addresses (and answers the POST at once).
See https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http.
"""

from collections.abc import Callable, Mapping

from aiohttp import web

from local.runner.timers import TimerLoop


def build(names: frozenset[str], timers: Mapping[str, TimerLoop], ready: Callable[[], bool]) -> web.Application:
    """Return the application: `names` are all functions, `timers` those that can be fired."""

    async def status(_: web.Request) -> web.Response:
        is_ready = ready()
        return web.json_response({"state": "Running" if is_ready else "Starting"}, status=200 if is_ready else 503)

    async def fire(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in names:
            return web.json_response({"error": "no such function", "functions": sorted(names)}, status=404)
        if name not in timers:
            return web.json_response({"error": "only timers are fired here; send a message instead"}, status=400)
        return web.Response(status=202 if await timers[name].fire() else 500)

    app = web.Application()
    app.router.add_get("/admin/host/status", status)
    app.router.add_post("/admin/functions/{name}", fire)
    return app
