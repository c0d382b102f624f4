"""The app that the Functions host loads: the blueprints of the role in APP_ROLE, and telemetry where it is wanted."""

import azure.functions as func

from functions import ledger, requests, sweeps, telemetry, watch
from functions.host import config

PIPELINE = (sweeps.bp, requests.bp, watch.bp)
LEDGER = (ledger.bp,)

telemetry.configure()
app = func.FunctionApp()
for blueprint in {"pipeline": PIPELINE, "ledger": LEDGER, "all": PIPELINE + LEDGER}[config().role]:
    app.register_functions(blueprint)
