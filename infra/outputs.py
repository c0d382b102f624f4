"""A deployment's outputs as settings, for those who deploy without azd: `az deployment sub create ... | outputs.py`.

Reads the JSON object `properties.outputs` from standard input, writes one object of texts under the names that
main.bicep gives them, as `azd env get-values --output json` does: `retention --settings FILE` takes it. (Azure may
write a name's first letters in lower case: azurE_LOCATION. Settings know no such name.)

Refused: an output that main.bicep has not, one that it has and that is missing, a secret one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DECLARED = re.compile(r"^output (\w+) (?:string|bool|int)\b", re.MULTILINE)


class OutputsError(Exception):
    """What was read are not the outputs of main.bicep: the text says which."""


def settings(outputs: Mapping[str, Mapping[str, Any]], bicep: str) -> dict[str, str]:
    """The outputs as texts, by the names of the Bicep file. Raises OutputsError."""
    names = {name.lower(): name for name in _DECLARED.findall(bicep)}
    values = {name.lower(): entry for name, entry in outputs.items()}
    if set(values) != set(names):
        odd = sorted(names.get(each, each) for each in set(values) ^ set(names))
        raise OutputsError(f"not the outputs of main.bicep: {', '.join(odd)}")
    if any("value" not in entry for entry in values.values()):
        raise OutputsError("an output has no value to see: secrets are no outputs")
    return {names[each]: _text(entry["value"]) for each, entry in values.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main() -> int:
    """From standard input to standard output. Exit codes: 0 written, 1 not."""
    bicep = (Path(__file__).parent / "main.bicep").read_text(encoding="utf-8")
    try:
        found = settings(json.load(sys.stdin), bicep)
    except (OutputsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
