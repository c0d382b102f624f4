"""The console script `retention`: mounts the commands, and turns each expected failure into a word and an exit code.

It refuses nothing itself. What goes wrong as it may (a setting, a store away, evidence that contradicts itself) ends
with one line on stderr; a traceback is a bug.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    audit,
    control,
    hold,
    key,
    output,
    parking,
    policy,
    posture,
    prove,
    request,
    settings,
    smoke,
    status,
    sweeps,
)
from shared.errors import IntegrityError, RetentionError, TransientError

HELP = (
    "Retention periods and erasure requests, carried out by the functions and proven by the audit log.\n\n"
    "Nobody deletes from here: people look, and send messages. Settings are the functions' own: the environment, over "
    "the file of --settings, else over local.settings.json in the current folder if it is there. Of a deployment: "
    "`azd env get-values --output json > FILE`, then --settings FILE."
)
EPILOG = """
Exit codes of all commands; the --help of each says what they mean there:

- 0: fine
- 1: the answer is bad: findings, something needs attention, evidence contradicts itself
- 2: wrong arguments, settings or policy, or a file that cannot be read
- 3: a store or the broker gave no useful answer: try again
- 4: no request, or parked message, has this id

Results go to stdout, progress and warnings to stderr. With --json stdout holds one document, and nothing where the
exit code is 2 or 3, but for `policy check`: the findings are its result.
"""

app = typer.Typer(
    name="retention",
    help=HELP,
    epilog=EPILOG,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(sweeps.plan)
app.command()(sweeps.run)
app.command()(control.approve)
app.command()(control.pause)
app.command()(control.resume)
app.add_typer(request.app, name="request")
app.add_typer(hold.app, name="hold")
app.command()(status.status)
app.add_typer(parking.app, name="parking")
app.command()(posture.posture)
app.command()(smoke.smoke)
app.add_typer(audit.app, name="audit")
audit.app.command()(prove.receipt)
audit.app.command()(key.key)
app.add_typer(policy.app, name="policy")


@app.callback()
def _settings(
    *,
    file: Annotated[
        Path | None, typer.Option("--settings", help=f"The settings file; else {settings.FILE_VARIABLE} names it.")
    ] = None,
) -> None:
    if file is not None:
        os.environ[settings.FILE_VARIABLE] = str(file)


def main() -> None:
    """Run the command line; end the process with its exit code."""
    # The SDKs log each try that fails, and may name records in it: the error at the end says what an operator needs.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app(prog_name="retention")
    except TransientError as error:
        output.note(f"no useful answer: {error}. See that it runs, that the settings name it, and that you may use it")
        sys.exit(output.Code.NO_ANSWER)
    except IntegrityError as error:
        output.note(
            f"evidence contradicts itself: {error}. Change nothing before somebody who knows the log has looked"
        )
        sys.exit(output.Code.ATTENTION)
    except RetentionError as error:
        output.note(str(error))
        sys.exit(output.Code.USE)
