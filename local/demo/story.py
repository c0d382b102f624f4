"""The story: seed, sweep, erase, log, count, damage, receipt. Each stage says in one line what it shows.

It checks as it goes: `tell` returns whether everything held, and everything that did not is marked in the output.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from local.demo import check, evidence
from local.demo.app import App, Requests, Sweep, wait_for
from local.demo.evidence import Log
from local.demo.pictures import draw
from local.demo.seed import Seed
from local.demo.show import Show, SweepBars, counts, shorten
from local.demo.upload import upload_blobs, upload_items
from shared.requests.documents import State

_NAMES = UUID("6d1f5b0e-6a0c-4b5e-9d6a-5a1c3e7b9f24")  # ours: the messages' ids are made from it and the time
_BY_POLICY = 3  # erasures that the sweeps ask for: a contract that ended, a user inactive, a home without users
_RECEIPT_ROWS = 8  # shown from the beginning and from the end of a person's events
_BLOCKED = 1  # pictures that somebody leased


class Story:
    """One telling, on servers that run. `root` is the folder that everything of the demo is in."""

    def __init__(self, *, seed: Seed, settings: Mapping[str, str], app: App, show: Show, root: Path) -> None:
        self._seed = seed
        self._settings = settings
        self._app = app
        self._show = show
        self._root = root
        self._held = True
        cast = seed.cast
        self._asked = (cast.alone, cast.leaver, *cast.pair)
        self._ids = {name: str(uuid5(_NAMES, f"{name} {time.time_ns()}")) for name in (*self._asked, "nobody", "bad")}

    def _expect(self, text: str, *, held: bool) -> None:
        self._show.line(text, good=held)
        self._held = self._held and held

    # ------------------------------------------------------------ before

    async def store(self) -> None:
        """Upload the seed."""
        seed, items = self._seed, self._seed.items
        users, homes = (sum(item.container == name for item in items) for name in ("users", "homes"))
        self._show.stage("Seed", f"two weeks of a company with {homes:,} homes and {users:,} users (all invented)")
        with self._show.progress() as progress:
            blobs = progress.add_task("blobs", total=len(seed.blobs))
            rows = progress.add_task("items", total=len(items))
            await asyncio.gather(
                upload_blobs(seed, self._settings, lambda n: progress.advance(blobs, n)),
                upload_items(seed, self._settings, lambda n: progress.advance(rows, n)),
            )
        picture = next(blob for blob in seed.blobs if blob.camera and blob.taken)
        sample = self._root / "picture.jpg"
        if picture.taken is not None:
            await asyncio.to_thread(sample.write_bytes, draw(picture.camera, picture.taken))
        names = ("camera-snapshots", "operation-log", "backups", "devices", "cart-sessions")
        stored = [record.container for record in (*seed.blobs, *items)]
        self._show.line(counts({name: stored.count(name) for name in names}))
        self._show.line(f"one of the pictures: {shorten(sample)}")

    # ------------------------------------------------------------ the two flows

    async def sweep(self) -> None:
        """Have all categories swept, and show what became of what was found."""
        self._show.stage("Sweep", "what has outlived its period goes, without anybody asking; one message starts it")
        run = str(uuid5(_NAMES, f"run {time.time_ns()}"))
        body = {"retention": {"version": 1, "type": "run", "id": run, "categories": []}}
        self._show.message(body)
        await self._app.send({run: body})
        due = check.due(self._seed)
        done: dict[str, Sweep] = {}

        async def look() -> dict[str, Sweep]:
            done.update(await self._app.sweeps(done))
            return dict(done)

        with self._show.progress() as progress:
            await wait_for(
                look,
                lambda sweeps: {*sweeps} >= {*due, "users", "homes"} and all(s.finished for s in sweeps.values()),
                what="the sweeps",
                show=SweepBars(progress, due).show,
            )
        rows = [(name, s.found, _became(s), counts(s.strange) if s.strange else "") for name, s in done.items()]
        self._show.table(("category", "expired", "what became of it", "reported, not touched"), rows)
        strange = {name: sum(sweep.strange.values()) for name, sweep in done.items()}
        outside = (strange["camera-snapshots"], strange["backups"])
        self._expect("3 pictures and 1 backup with names that mean nothing, 1 dated in the future: reported", held=outside == (4, 1))
        self._expect(
            f"{_BLOCKED} picture that somebody leased is blocked, said so, and is tried again at the next sweep",
            held=done["camera-snapshots"].outcomes.get("blocked") == _BLOCKED,
        )

    async def erase(self) -> None:
        """Send the erasure messages and wait until every request is finished."""
        self._show.stage("Erase", "four people want to be forgotten; messages say so, sent with the vendor's SDK")
        cast, email = self._seed.cast, str(self._seed.user(self._seed.cast.leaver)["email"])
        self._show.message(self._message(cast.leaver, {"email": email.title()}))
        bad = self._message("bad", {"user_id": cast.alone})
        del bad["retention"]["identity_verified_by"]  # nobody checked who is asking
        nobody = self._message("nobody", {"email": "nobody.at.all@example.com"})
        await self._app.send({self._ids["bad"]: bad, self._ids["nobody"]: nobody})
        await self._app.send({self._ids[cast.alone]: self._message(cast.alone, {"user_id": cast.alone})})
        await self._app.send({self._ids[cast.leaver]: self._message(cast.leaver, {"email": email.title()})})
        await self._app.send({self._ids[user]: self._message(user, {"user_id": user}) for user in cast.pair})
        total = len(self._asked) + 1 + _BY_POLICY
        with self._show.progress() as progress:
            bar = progress.add_task("requests", total=total)
            requests = await wait_for(
                self._app.requests,
                lambda seen: seen.finished >= total and seen.parked >= 1,
                what="the erasures",
                show=lambda seen: progress.update(bar, completed=seen.finished),
            )
        self._report(requests)

    def _message(self, name: str, subject: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        return {
            "retention": {
                "version": 1,
                "type": "erase",
                "id": self._ids[name],
                "subject": dict(subject),
                "requested_by": "the person",
                "identity_verified_by": "customer service, by a call back",
            }
        }

    def _report(self, requests: Requests) -> None:
        cast = self._seed.cast
        stories = {
            self._ids[cast.alone]: "lives alone, by user id",
            self._ids[cast.leaver]: "one of two in a home, by e-mail",
            self._ids[cast.pair[0]]: "both of a home at once: one",
            self._ids[cast.pair[1]]: "both of a home at once: the other",
            self._ids["nobody"]: "an e-mail that matches nobody",
        }
        by_policy = [name for name in requests.documents if name not in stories]
        stories |= dict.fromkeys(by_policy, "asked for by a sweep")
        rows = [(says, str(requests.documents[name].state).replace("_", " "), _erased(requests, name)) for name, says in stories.items() if name in requests.documents]
        self._show.table(("request", "state", "what became of the records"), rows)
        done = [requests.documents[self._ids[user]] for user in self._asked]
        until = max((each.in_backups_until for each in done if each.in_backups_until), default=None)
        self._expect(
            f"4 people are erased; older backups hold them until {until:%Y-%m-%d}, and each request says so" if until else "4 people are erased",
            held=until is not None and all(each.state is State.DONE for each in done),
        )
        policy = [requests.documents[name].state for name in by_policy]
        self._expect(
            "a contract that ended, a user away for 25 months, a home without users: the policy erased them",
            held=policy == [State.DONE] * _BY_POLICY,
        )
        nobody = requests.documents.get(self._ids["nobody"])
        self._expect("the e-mail that matches nobody waits for a person to decide", held=nobody is not None and nobody.state is State.NEEDS_ATTENTION)
        self._expect("the message that does not say who checked the identity was parked: nothing is lost, nothing was erased by it", held=requests.parked == 1 and self._ids["bad"] not in requests.documents)

    # ------------------------------------------------------------ the evidence

    async def log(self, collect: Callable[[], Awaitable[list[Log]]]) -> list[Log]:
        """Have the log appended, sealed and published; verify it and download it."""
        self._show.stage("Log", "every deletion is an event in a signed log that anybody can verify")
        await self._app.fire("watch_journals")  # it would ring for a doorbell that was lost
        await wait_for(self._app.journals, lambda left: left == 0, what="the log's appends")
        await self._app.fire("ledger_seal")
        await self._app.fire("ledger_publish")
        logs = await collect()
        size = sum(log.report.size for log in logs)
        with self._show.progress() as progress:
            bar = progress.add_task("subscriber", total=size)
            received = await self._app.received(size, lambda n: progress.advance(bar, n))
        self._expect(f"{size:,} events appended and sealed; no journal is left waiting", held=size > 0)
        self._expect(f"subscription siem of topic audit received {len(set(received)):,} of them, in order", held=received == sorted(received) and len(set(received)) == size)
        for log in logs:
            finding = f": {log.report.findings[0]}" if log.report.findings else ""
            self._expect(f"verified from the first leaf to the signature of {log.verifier.name}{finding}", held=log.report.sound)
            self._show.line(f"downloaded, with its public key: {shorten(log.folder)}")
        return logs

    async def count(self, logs: list[Log]) -> None:
        """Count everything that is stored, by a listing that shares no code with what deleted."""
        self._show.stage("Count", "a full listing of every store against the seed; it shares no code with the sweeps")
        gone = evidence.gone_records(logs)
        rows = check.count(self._seed, self._asked, await check.list_everything(self._settings))
        cells = []
        for row in rows:
            why = list(gone.get(row.category, {}).values())
            kept, swept, asked = row.present - row.blocked, why.count("run"), why.count("request")
            cells.append((row.category, row.seeded, swept, asked, kept, row.blocked, row.left_over, row.wrongly_gone))
        columns = ("category", "seeded", "expired", "erased", "kept", "blocked", "left over", "wrongly gone")
        self._show.table(columns, [*cells, ("total", *(sum(cell) for cell in list(zip(*cells, strict=True))[1:]))], numbers_from=1)
        self._expect("nothing left over", held=not any(row.left_over for row in rows))
        self._expect("nothing wrongly gone", held=not any(row.wrongly_gone for row in rows))
        matches = all(row.gone == len(gone.get(row.category, {})) for row in rows)
        self._expect(f"{sum(row.gone for row in rows):,} records are gone, and the log has an event for each, no more", held=matches)

    async def damage(self, logs: list[Log]) -> None:
        """Change one byte in a copy of the log and have it verified."""
        self._show.stage("Damage", "one byte is changed in a copy of the log: verify names the leaf")
        request = self._ids[self._seed.cast.leaver]
        log, index, _ = next(found for found in evidence.about(logs, request) if "outcome" in found[2]["data"])
        copy = self._root / "audit-damaged" / log.year
        damage = await evidence.damage(log, index, copy)
        self._show.line(f"leaf {damage.leaf}: {damage.before}  becomes  {damage.after}  in {shorten(copy)}")
        for finding in damage.report.findings:
            self._show.line(f"verify says: {finding}")
        self._expect("found, and exactly that leaf named", held=damage.named)

    def receipt(self, logs: list[Log]) -> None:
        """Print what the log says of one person, found by the request's id."""
        request = self._ids[self._seed.cast.leaver]
        self._show.stage("Receipt", "what the log says of one of the four, without a name: found by the request's id")
        rows = [(str(index), event["time"][11:23], event["type"].removeprefix("retention."), event["data"].get("category", ""), _outcome(event)) for _, index, event in evidence.about(logs, request)]
        shown = rows if len(rows) <= 2 * _RECEIPT_ROWS else [*rows[:_RECEIPT_ROWS], ("...",) + ("",) * 4, *rows[-_RECEIPT_ROWS:]]
        self._show.line(f"request {request}: {len(rows)} events")
        self._show.table(("leaf", "time (UTC)", "event", "category", "outcome"), shown)
        kinds = [row[2] for row in rows]
        self._expect("from received to completed; the shared home was left, not erased", held={"request.received", "request.completed", "record.left", "record.erased"} <= set(kinds))

    def further(self, took: float) -> bool:
        """Say where to go from here; return whether everything held."""
        root = shorten(self._root)
        self._show.stage("Look further", "the data is still there; the servers stop now, and start again with")
        for command, says in (
            (f"make up DATA={root}", "the same servers with the same data, and the functions by the clock"),
            (".venv/bin/retention status", "how runs, requests and the log stand"),
            (".venv/bin/retention plan", "what the next sweep would do (a dry run)"),
            (f".venv/bin/retention request status {self._ids[self._seed.cast.leaver]}", ""),
            (".venv/bin/retention audit verify", "the live log; a folder: see --help"),
            (".venv/bin/retention policy show", "every promise, in force or planned"),
            (f"make down DATA={root}", "stop them"),
        ):
            self._show.line(f"{command}{'   # ' + says if says else ''}")
        self._show.line("")
        self._expect(f"{'everything held' if self._held else 'NOT everything held: see the marks above'}, in {took:.0f} seconds", held=self._held)
        return self._held


def _became(sweep: Sweep) -> str:
    return counts({**sweep.outcomes, "to be erased as a person or home": sweep.forwarded}) if sweep.found else ""


def _erased(requests: Requests, name: str) -> str:
    document = requests.documents[name]
    total: dict[str, int] = {}
    for outcomes in document.outcomes().values():
        for outcome, number in outcomes.items():
            total[outcome] = total.get(outcome, 0) + number
    return counts(total) if total else document.reason


def _outcome(event: evidence.Event) -> str:
    data = event["data"]
    if "outcome" in data:
        return str(data["outcome"]["name"])
    return f"in backups until {data['in_backups_until'][:10]}" if "in_backups_until" in data else ""
