"""The app that the Functions host loads: the blueprints of the role in APP_ROLE, and telemetry where it is wanted.

A role's modules are all imported here, so that one that is broken fails at load, and none of the other role's.
Meanwhile the garbage collector rests, and what was loaded is left out of its later rounds: it stays for the life of the
process, and to walk it again and again is what they cost.
"""

import gc
from importlib import import_module

PIPELINE = ("sweeps", "requests", "watch")
LEDGER = ("ledger",)

collecting = gc.isenabled()
gc.disable()
try:
    import azure.functions as func

    from functions import telemetry
    from functions.host import config

    telemetry.configure()
    app = func.FunctionApp()
    for name in {"pipeline": PIPELINE, "ledger": LEDGER, "all": PIPELINE + LEDGER}[config().role]:
        app.register_functions(import_module(f"functions.{name}").bp)
finally:
    gc.freeze()
    if collecting:
        gc.enable()
