"""The story's second half: the log, the count of what is left, the damaged copy, the events of one person."""

from collections.abc import Collection, Mapping
from pathlib import Path

from local.demo import check, evidence
from local.demo.app import App, wait_for
from local.demo.evidence import Event, Log
from local.demo.seed import Seed
from local.demo.show import Show, shorten
from shared.wiring import Product

_ROWS = 5  # shown from the beginning and from the end of a person's events
_ESSENTIAL = {"request.received", "record.left", "record.erased", "request.completed"}


async def log_stage(product: Product, app: App, show: Show, root: Path) -> list[Log]:
    """Have the log appended, sealed and published; verify it and download it."""
    show.stage("Log", "every deletion is an event in a signed log that anybody can verify")
    await app.fire("watch_journals")  # rings again for what waits: a doorbell may have been lost
    await wait_for(app.journals, lambda left: left == 0, what="the log's appends")
    await app.fire("ledger_seal")
    await app.fire("ledger_publish")
    logs = await evidence.collect(product, root / "audit")
    size = sum(log.report.size for log in logs)
    with show.progress() as progress:
        bar = progress.add_task("subscriber", total=size)
        received = await app.received(size, lambda n: progress.advance(bar, n))
    show.expect(f"{size:,} events are appended and sealed; no journal waits", held=size > 0)
    show.expect(
        f"subscription siem of topic audit received all {len(set(received)):,}", held=len(set(received)) == size
    )
    for log in logs:
        findings = "".join(f"; {finding}" for finding in log.report.findings[:3])
        sound = f"log {log.verifier.name} verifies, from its first leaf to its checkpoint's signature{findings}"
        show.expect(sound, held=log.report.sound)
        show.line(f"downloaded, with its public key: {shorten(log.folder)}")
    return logs


async def count_stage(
    seed: Seed, asked: Collection[str], settings: Mapping[str, str], logs: list[Log], show: Show
) -> None:
    """Count everything that is stored, by a listing that shares no code with what deleted."""
    show.stage("Count", "a full listing of all stores against the seed; it shares no code with what deleted")
    logged = evidence.gone_records(logs)
    rows = check.count(seed, asked, await check.list_everything(settings))
    cells: list[tuple[object, ...]] = []
    for row in rows:
        why = list(logged.get(row.category, {}).values())
        kept = row.present - row.blocked
        numbers = (
            row.seeded,
            why.count("run"),
            why.count("request"),
            kept,
            row.blocked,
            row.left_over,
            row.wrongly_gone,
        )
        cells.append((row.category, *(f"{number:,}" for number in numbers)))
    show.table(("category", "seeded", "expired", "erased", "kept", "blocked", "left", "lost"), cells, numbers=True)
    left_over, wrongly_gone = sum(row.left_over for row in rows), sum(row.wrongly_gone for row in rows)
    show.expect(f"left over: {left_over}", held=left_over == 0)
    show.expect(f"wrongly gone: {wrongly_gone}", held=wrongly_gone == 0)
    show.expect(
        f"{sum(row.gone for row in rows):,} records are gone, and the log has an event for each and for no other",
        held=all(row.gone == len(logged.get(row.category, {})) for row in rows),
    )


async def damage_stage(logs: list[Log], request: str, show: Show, root: Path) -> None:
    """Change one byte in a copy of the log and have it verified."""
    show.stage("Damage", "somebody changes one byte in a copy of the log; verify names the leaf")
    log, index, _ = next(found for found in evidence.about(logs, request) if "outcome" in found[2]["data"])
    copy = root / "audit-damaged" / log.year
    damage = await evidence.damage(log, index, copy)
    show.line(f"leaf {damage.leaf}: {damage.before} becomes {damage.after} in {shorten(copy)}")
    for finding in damage.report.findings:
        show.line(f"verify: {finding}")
    show.expect("it is found, and this very leaf is named", held=damage.named)


def receipt_stage(logs: list[Log], request: str, show: Show) -> None:
    """Print what the log says of one person, found by the request's id, in the order of time."""
    show.stage("Receipt", "what the log says of the person with the e-mail: found by the request's id, no name in it")
    events = sorted(evidence.about(logs, request), key=lambda found: str(found[2]["time"]))
    show.line(f"request {request}, {len(events)} events, by time")
    rows = [(str(index), *_described(event)) for _, index, event in events]
    if len(rows) > 2 * _ROWS:
        rows[_ROWS:-_ROWS] = [("...", "", "", "", "")]
    show.table(("leaf", "time (UTC)", "event", "category", "outcome"), rows)
    subjects = {event["subject"] for _, _, event in events if event["data"].get("category") == "users"}
    show.line(f"the person is {', '.join(sorted(subjects))[:24]}... there: a pseudonym, made with a secret key")
    kinds = {_kind(event) for _, _, event in events}
    show.expect("asked, done and said: the home was left, and stays with the other one", held=kinds >= _ESSENTIAL)


def further_stage(logs: list[Log], request: str, show: Show, root: Path, took: float) -> None:
    """Say where to go from here, and whether everything held."""
    show.stage("Look further", "the servers stop now, all data stays")
    show.line("with the copies of the log, without any server:")
    for log in logs:
        show.line(f"  .venv/bin/retention audit verify {shorten(log.folder)}")
        show.line(f"  .venv/bin/retention audit show {shorten(log.folder)} --request {request}")
    show.line(f"  .venv/bin/retention audit verify {shorten(root / 'audit-damaged' / logs[-1].year)}")
    show.line("with the servers again, and the functions by the clock:")
    show.line(f"  make up DATA={shorten(root)}")
    for command in ("status", "plan", f"request status {request}", "audit verify"):
        show.line(f"  .venv/bin/retention {command}")
    show.line(f"  make down DATA={shorten(root)}")
    show.line("")
    show.expect(f"{'everything held' if show.held else 'NOT everything held'}, in {took:.0f} seconds", held=show.held)


def _described(event: Event) -> tuple[str, str, str, str]:
    data = event["data"]
    outcome = str(data["outcome"]["name"]) if "outcome" in data else ""
    if "in_backups_until" in data:
        outcome = f"backups to {data['in_backups_until'][:10]}"
    return event["time"][11:19], _kind(event), data.get("category", ""), outcome


def _kind(event: Event) -> str:
    return str(event["type"]).removeprefix("retention.")
