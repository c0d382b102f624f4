"""What the log says: verify it, copy it, damage the copy, find one request's events and count records."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.audit import canonical
from shared.ledger.checkpoint import Verifier
from shared.ledger.log import years
from shared.ledger.reader import Live, download, entries
from shared.ledger.source import Folder
from shared.ledger.verify import Report, verify
from shared.wiring import Product

Event = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Log:
    """One year's log, downloaded into `folder`: what verify said of the live one, and every event by its index."""

    year: str
    folder: Path
    verifier: Verifier
    report: Report
    events: Mapping[int, Event]


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One byte changed in a copy of a log: of which leaf, the text around it before and after, what verify says."""

    leaf: int
    before: str
    after: str
    report: Report

    @property
    def named(self) -> bool:
        """Whether verify found it, and named this leaf and no other."""
        return {finding.leaf for finding in self.report.findings} == {self.leaf}


async def collect(product: Product, folder: Path) -> list[Log]:
    """Verify each year's live log, then download it into a folder of its own below `folder`."""
    logs = []
    for year in await years(product.ledger):
        live = Live(ledger=product.ledger, year=year)
        verifier = product.signer(year).verifier
        report = await verify(live, verifier)
        await download(live, folder / year, verifiers=[verifier])
        events = {index: event async for index, event in entries(Folder(folder / year))}
        logs.append(Log(year=year, folder=folder / year, verifier=verifier, report=report, events=events))
    return logs


async def damage(log: Log, index: int, copy: Path) -> Damage:
    """Copy the log to `copy`, turn one bit of one entry's outcome there, and verify the copy."""
    shutil.copytree(log.folder, copy)
    entry = canonical(log.events[index])
    bundles = [path for path in (copy / "tile" / "entries").rglob("*") if path.is_file()]
    bundle = next(path for path in bundles if entry in path.read_bytes())
    data = bytearray(bundle.read_bytes())
    at = data.index(entry) + entry.index(b'"name":"') + len(b'"name":"')
    before = bytes(data[at - 8 : at + 8])
    data[at] ^= 1
    bundle.write_bytes(data)
    after = bytes(data[at - 8 : at + 8])
    report = await verify(Folder(copy), log.verifier)
    return Damage(leaf=index, before=before.decode(), after=after.decode(), report=report)


def about(logs: list[Log], request: str) -> list[tuple[Log, int, Event]]:
    """The events of one request: about itself, and about each record that it was the cause of."""
    return [
        (log, index, event)
        for log in logs
        for index, event in log.events.items()
        if request in (event["data"].get("request"), event["data"].get("cause", {}).get("request"))
    ]


def gone_records(logs: list[Log]) -> dict[str, dict[str, str]]:
    """By category, every record that the log says is gone (its pseudonym), and why: `run` or `request`.

    A record that was found gone already counts for whoever erased it, if the log knows.
    """
    gone: dict[str, dict[str, str]] = {}
    for outcome in ("already_gone", "erased"):  # the latter decides
        for event in (event for log in logs for event in log.events.values()):
            data = event["data"]
            if data.get("outcome", {}).get("name") == outcome:
                gone.setdefault(data["category"], {})[data["record"]] = next(
                    iter({"run", "request"} & set(data["cause"]))
                )
    return gone
