"""The app that the Functions host loads: the blueprints of the role in APP_ROLE, and nothing else."""

import azure.functions as func

from functions import ledger, requests, sweeps, watch
from functions.host import config

PIPELINE = (sweeps.bp, requests.bp, watch.bp)
LEDGER = (ledger.bp,)

app = func.FunctionApp()
for blueprint in {"pipeline": PIPELINE, "ledger": LEDGER, "all": PIPELINE + LEDGER}[config().role]:
    app.register_functions(blueprint)
