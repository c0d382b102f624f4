"""`retention audit receipt`: whether what a receipt says stands in the log. For the person, or whoever they ask.

Everything but the log and its public key comes from the receipt; nothing is asked of whoever wrote it. Refused: a file
that is no receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from cli import output
from cli.logs import Key, Log, on
from shared.errors import ConfigError
from shared.ledger.prove import Proof, misfits, prove, told
from shared.receipt import Receipt


def receipt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt, as `request receipt` wrote it.")],
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR...", help="Copies of the logs it names; without one, the live ones."),
    ] = None,
    *,
    key: Key = None,
    as_json: output.Json = False,
) -> None:
    """Prove a receipt: that each of its events stands in the log, and names the person by the receipt's key.

    A log is a copy in a folder, or the live one of a year that the receipt names. Whether it is sound as a whole
    `audit verify` says. Exit codes: 0 every event is proven, 1 one is not, 2 wrong use, or a file or the log
    cannot be read, 3 a store did not answer.
    """
    held = _read(file)
    keys = list[str]()

    async def check(log: Log) -> Proof:
        verifiers = log.keys(key)
        keys.extend(verifier.vkey for verifier in verifiers)
        return await prove(held, log.source, *verifiers)

    years = sorted({each.log for each in held.events})
    proofs = [on(each, None, check) for each in folders] if folders else [on(None, year, check) for year in years]
    wrong = [*misfits(held), *(each for proof in proofs for each in proof.wrong)]
    logs = {proof.origin for proof in proofs}
    unread = sorted({f"{held.origin}/{year}" for year in years} - logs)
    wrong += [f"{name}: has entries of it too, and was not read" for name in unread]
    if not held.events:
        wrong.append("it holds no event, so there is nothing to prove")
    if as_json:
        output.document(_found(held, proofs, wrong) | {"keys": keys})
    else:
        _show(held, proofs, wrong)
    if wrong:
        raise typer.Exit(output.Code.ATTENTION)


def _read(file: Path) -> Receipt:
    try:
        return Receipt.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except ValidationError as error:  # its own text would quote the person
        fields = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        known = sorted(fields & Receipt.model_fields.keys())
        where = "; ".join([*known, *(["a field that no receipt has"] if len(known) < len(fields) else [])])
        raise ConfigError(f"{file}: is no receipt" + (f": wrong or missing: {where}" if where else "")) from None


def _found(held: Receipt, proofs: Sequence[Proof], wrong: Sequence[str]) -> dict[str, Any]:
    return {
        "request": held.request,
        "logs": [proof.origin for proof in proofs],
        "events": len(held.events),
        "proven": sum(len(proof.proven) for proof in proofs),
        "outcomes": told([each for proof in proofs for each in proof.proven]),
        "wrong": wrong,
    }


def _show(held: Receipt, proofs: Sequence[Proof], wrong: Sequence[str]) -> None:
    output.line(f"request  {held.request}")
    for proof in proofs:
        output.line(f"log      {proof.origin}")
    proven = [each for proof in proofs for each in proof.proven]
    output.line(f"events   {output.number(len(proven))} proven of {output.number(len(held.events))}")
    for category, counts in sorted(told(proven).items()):
        output.line(f"         {category}: {output.counts(counts)}")
    for each in wrong:
        output.line(f"WRONG    {each}")
    output.line("NOT PROVEN" if wrong else "proven: each event stands in the log, under the receipt's key")
