"""`retention posture`: what the stores' real settings make of each promise, or of any storage account. Reads only.

A key or a SAS never stands on the command line: --account-env names the environment variable that holds it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, settings
from shared.errors import ConfigError
from shared.period import Period
from shared.posture.effects import END, days
from shared.posture.findings import Finding
from shared.posture.plain import Plain, describe
from shared.posture.settings import Account, BlobAccount
from shared.posture.worst_case import Posture, Verdict, judge

if TYPE_CHECKING:
    from shared.wiring import Product

ReadStores = Callable[["Product"], Awaitable[Mapping[str, Account]]]
"""`wiring.read_stores`, which knows already whom to ask and how far to look."""

_WORDS = {"breaks": "BREAKS", "unknown": "UNKNOWN", "note": "note", None: ""}


def posture(
    *,
    account: Annotated[
        str | None, typer.Option(help="Look at this storage account alone: its name, or its blob endpoint.")
    ] = None,
    account_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="The same, by a connection string or SAS URL in this variable."),
    ] = None,
    promise: Annotated[str, typer.Option(help="With an account: the period to compare with.")] = "P7D",
    subscription: Annotated[
        str | None, typer.Option(envvar="AZURE_SUBSCRIPTION_ID", help="Ask the management API of this subscription.")
    ] = None,
    resource_group: Annotated[str | None, typer.Option(help="Look for the accounts in this resource group.")] = None,
    management: Annotated[
        str | None, typer.Option(metavar="URL", help="The management API of another cloud than the public one.")
    ] = None,
    look: Annotated[int, typer.Option(min=1, help="Entries to list for versions, in each container.")] = 5_000,
    as_json: output.Json = False,
) -> None:
    """Compare each promise with what the stores really do to deleted data.

    Reads the settings of every store of the policy, and says for each rule how long deleted data truly stays, why, and
    what to change. With --account or --account-env it needs no policy and no settings: read access to a storage account
    is enough. What could not be read is unknown, and never taken as fine.

    Exit codes: 0 fine; 1 a promise is broken, or a setting is unknown; 2 wrong arguments, settings or policy; 3 a store
    did not answer.
    """
    if account is not None and account_env is not None:
        raise ConfigError("--account and --account-env name the account twice: give one")
    compared = _period(promise)
    if account is None and account_env is None:
        subscription = subscription or settings.config().text("AZURE_SUBSCRIPTION_ID")
    from shared.posture import wiring  # noqa: PLC0415 - the Azure SDKs take a second to import: only where they serve

    client_id = os.environ.get("AZURE_CLIENT_ID")
    asked = wiring.management(subscription, resource_group, management, client_id=client_id)
    if account is None and account_env is None:
        _all(partial(wiring.read_stores, management=asked, look=look), as_json=as_json)
        return
    where = account if account is not None else _secret(account_env or "")
    with output.busy("reading"):
        read = asyncio.run(wiring.read_any(where, secret=account is None, management=asked, look=look))
    _one(read, compared, as_json=as_json)


def _period(text: str) -> Period:
    try:
        return Period.parse(text)
    except ValueError as error:
        raise ConfigError(f"--promise: {error}") from None


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"the environment has no variable {variable}")
    return value


# ---------------------------------------------------------------- the policy's stores


def _all(read_stores: ReadStores, *, as_json: bool) -> None:
    async def work(app: Product) -> tuple[Mapping[str, Account], Posture]:
        read = await read_stores(app)
        return read, judge(app.policy, read, now=datetime.now(UTC))

    with output.busy("reading"):
        read, found = settings.with_product(work, governed=True)
    if as_json:
        rules = [_rule(verdict) for verdict in found.verdicts]
        findings = [dataclasses.asdict(finding) for finding in found.findings]
        output.document({"fine": found.fine, "rules": rules, "findings": findings, "stores": _plain(read)})
    else:
        output.table(
            ("rule", "promised", "really", "why"),
            [(v.rule, v.promised, _really(v), ", ".join(v.why)) for v in found.verdicts],
        )
        output.say()
        _show(found.findings)
        output.say(summary(found))
    if not found.fine:
        raise typer.Exit(output.Code.ATTENTION)


def _really(verdict: Verdict) -> str:
    return verdict.really if verdict.sure or verdict.adds == END else f"{verdict.really} or more"


def _rule(verdict: Verdict) -> dict[str, Any]:
    seconds = None if verdict.adds == END else verdict.adds.total_seconds()
    return {**dataclasses.asdict(verdict), "adds": seconds, "no_end": verdict.adds == END}


def summary(found: Posture) -> str:
    """The verdict on one line."""
    if found.fine:
        return "fine: what the stores are set to keeps every promise that is enforced"
    broken = sum(verdict.kind == "breaks" for verdict in found.verdicts)
    unknown = sum(finding.kind == "unknown" for finding in found.findings)
    return f"NOT FINE: {output.many(broken, 'promise')} broken, {output.many(unknown, 'setting')} unknown"


# ---------------------------------------------------------------- any account


def _one(read: BlobAccount, promise: Period, *, as_json: bool) -> None:
    found = describe(read, promise, now=datetime.now(UTC))
    if as_json:
        seconds = None if found.kept == END else found.kept.total_seconds()
        said = {**dataclasses.asdict(found), "kept": seconds, "no_end": found.kept == END, "fine": found.fine}
        output.document({**said, "read": _plain(read)})
    else:
        for line in _lines(found):
            output.say(line)
        output.say()
        _show(found.findings)
        if found.fine:
            output.say("fine: by its settings, deleted is deleted here")
            output.say("not read: backup vaults, object replication")
    if not found.fine:
        raise typer.Exit(output.Code.ATTENTION)


def _lines(found: Plain) -> Iterator[str]:
    least = "" if found.sure else "at least "
    yield f"account {found.account}, {output.many(found.containers, 'container')}"
    if found.kept == END:
        yield "a deleted blob stays as a version, without end"
    elif found.kept:
        yield f"a deleted blob can be brought back for {least}{days(found.kept.days)}"
    else:
        yield "a deleted blob is gone" if found.sure else "whether a deleted blob is gone could not be read"
    for where, really in (("", found.really), *((f" in container {name}", text) for name, text in found.apart.items())):
        yield f"a promise of {found.promised}{where} is really: {really if really == 'no end' else least + really}"


# ---------------------------------------------------------------- both


def _show(findings: Sequence[Finding]) -> None:
    for each in findings:
        word = _WORDS[each.kind]
        output.say(f"{word:<8} {each.where}: {', '.join(each.settings)}: {each.text}")
        if each.rules:
            output.say(f"{'':<8} of {', '.join(each.rules)}")
        output.say(f"{'':<8} do: {each.remedy}")
    if findings:
        output.say()


def _plain(value: Any) -> Any:
    """The value with dataclasses, sets and spans of time as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | frozenset):
        return sorted(map(_plain, value)) if isinstance(value, frozenset) else [_plain(inner) for inner in value]
    return value.total_seconds() if isinstance(value, timedelta) else value
