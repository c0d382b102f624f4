"""Makes infra/main.parameters.json, the parameters of one deployment, from the stage's own file: `make parameters`.

The stage is RETENTION_STAGE (dev or prod, else dev); its file is infra/<stage>.parameters.json. A parameter of
main.bicep that is a text, a number or a yes or no is set over it by the variable of its name, alertEmail by
ALERT_EMAIL: `azd env set` sets one for azd, a variable of the GitHub environment for the workflows; an empty one counts
for nothing. What names the deployment comes from AZURE_ENV_NAME, AZURE_LOCATION, AZURE_PRINCIPAL_ID and
AZURE_PRINCIPAL_TYPE; with --azd they are left for azd to fill in, which asks for those that it has not.

Refused: a stage without a file, a parameter that main.bicep has not, a value that is not of its type, a name that no
log can have, a deployment without what only its owner knows: that name, and where it is no trial the governed stores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INFRA = Path(__file__).parent
STAGES = ("dev", "prod")
NAMED_BY = {
    "environmentName": "AZURE_ENV_NAME",
    "location": "AZURE_LOCATION",
    "deployerId": "AZURE_PRINCIPAL_ID",
    "deployerType": "AZURE_PRINCIPAL_TYPE",
}
"""Parameters that name one deployment, and the variables they come from. azd knows all four by these names."""

DEPLOYERS = ("User", "ServicePrincipal")
STORES = ("dataAccountId", "backupAccountId", "cosmosAccountId")
"""What a deployment that is no trial needs: it makes no governed store."""

_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9._~-]+)+")  # shared/config.py's, which reads it later
_EXAMPLE = re.compile(r"(.+\.)?example\.com/.*")
_DECLARED = re.compile(r"^param (\w+) (string|bool|int|object|array)\b", re.MULTILINE)
_TYPES: Mapping[str, type] = {"bool": bool, "int": int}


class ParametersError(Exception):
    """The parameters cannot be made: the text names the variable or file to change."""


def declared(bicep: str) -> dict[str, str]:
    """The parameters that a Bicep file declares: name to type."""
    return dict(_DECLARED.findall(bicep))


def variable(name: str) -> str:
    """The variable that sets a parameter: alertEmail to ALERT_EMAIL."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).upper()


def settable(types: Mapping[str, str]) -> dict[str, str]:
    """The variables that set a parameter each, with its name. Objects and arrays are the stage's file's alone."""
    return {
        variable(name): name for name, kind in types.items() if name not in NAMED_BY and kind in ("string", *_TYPES)
    }


def read(text: str, kind: str, name: str) -> Any:
    """A variable's text as a value of the parameter's type. Raises ParametersError."""
    if kind == "string":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if type(value) is not _TYPES[kind]:
        raise ParametersError(f"{name} must be {'true or false' if kind == 'bool' else 'a whole number'}")
    return value


def merged(stage: Mapping[str, Any], types: Mapping[str, str], environment: Mapping[str, str], *, azd: bool) -> Any:
    """The parameter file of one deployment. Raises ParametersError."""
    known = settable(types)
    values = {name: entry.get("value") for name, entry in stage["parameters"].items()}
    strangers = sorted(name for name, value in values.items() if name not in types or value is None)
    if strangers:
        raise ParametersError(f"no parameter of main.bicep, or one without a value: {', '.join(strangers)}")
    for name, parameter in known.items():
        if environment.get(name, "").strip():
            values[parameter] = read(environment[name].strip(), types[parameter], name)
    _complete(values)
    kind = environment.get(NAMED_BY["deployerType"], "").strip()
    if kind and kind not in DEPLOYERS:
        raise ParametersError(f"{NAMED_BY['deployerType']} must be {' or '.join(DEPLOYERS)}")
    if azd and "${" in json.dumps(values):
        raise ParametersError("a value holds ${, which azd would replace")
    for name, source in NAMED_BY.items():
        if azd:
            values[name] = f"${{{source}}}"
        elif environment.get(source, "").strip():
            values[name] = environment[source]
        else:
            raise ParametersError(f"set {source}: parameter {name} comes from it")
    return {
        **{key: value for key, value in stage.items() if key != "parameters"},
        "parameters": {name: {"value": value} for name, value in values.items()},
    }


def _complete(values: Mapping[str, Any]) -> None:
    """Raise ParametersError where Azure would refuse what is lacking, late and by a name that nobody set."""
    lacking = []
    if not values.get("ledgerOrigin"):
        lacking.append("set LEDGER_ORIGIN: the log's name, a host and path of yours, for ever")
    elif not _ORIGIN.fullmatch(values["ledgerOrigin"]):
        raise ParametersError(
            "LEDGER_ORIGIN must be a host and a path, as in log.example.com/retention: no scheme, white space, plus, "
            "or slash at the end"
        )
    if not values.get("trial", False):
        lacking += [
            f"set {variable(name)}: the resource id of your own store, since this is no trial"
            for name in STORES
            if not values.get(name)
        ]
    if lacking:
        raise ParametersError("\n".join(lacking))


def remarks(document: Mapping[str, Any]) -> str:
    """What is allowed, and perhaps not meant."""
    origin = document["parameters"]["ledgerOrigin"]["value"]
    if not _EXAMPLE.fullmatch(origin):
        return ""
    return f"the log's name is {origin}, the example's, and is for ever: for one of your own set LEDGER_ORIGIN first\n"


def write(infra: Path, environment: Mapping[str, str], *, azd: bool) -> str:
    """Write main.parameters.json into `infra`; say from what. Raises ParametersError."""
    stage = environment.get("RETENTION_STAGE", "").strip() or "dev"
    source = infra / f"{stage}.parameters.json"
    if stage not in STAGES or not source.is_file():
        raise ParametersError(f"RETENTION_STAGE must be {' or '.join(STAGES)}, and have its {source.name}")
    types = declared((infra / "main.bicep").read_text(encoding="utf-8"))
    document = merged(json.loads(source.read_text(encoding="utf-8")), types, environment, azd=azd)
    here = sorted(each for name, each in settable(types).items() if environment.get(name, "").strip())
    target = infra / "main.parameters.json"
    target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.stderr.write(remarks(document))
    return f"{target}: stage {stage}; from the environment: {', '.join(here) or 'nothing'}"


def main() -> int:
    """Write the file, say from what. Exit codes: 0 written, 1 not."""
    arguments = argparse.ArgumentParser(description="Make infra/main.parameters.json for one deployment.")
    arguments.add_argument("--azd", action="store_true", help="leave what names the deployment for azd to fill in")
    arguments.add_argument("--infra", type=Path, default=INFRA, help="the folder of the Bicep files")
    given = arguments.parse_args()
    try:
        sys.stdout.write(f"{write(given.infra, os.environ, azd=given.azd)}\n")
    except ParametersError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
