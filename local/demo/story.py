"""The story's first half: seed, sweep, erase. Each stage says in one line what it shows, and checks what must hold."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from local.demo import check
from local.demo.app import App, Requests, Sweep, wait_for
from local.demo.pictures import draw
from local.demo.seed import Seed
from local.demo.show import Show, SweepBars, counts, shorten
from local.demo.upload import upload_blobs, upload_items
from shared.requests.documents import State

_BY_POLICY = 3  # erasures that the sweeps ask for: a contract that ended, a user inactive, a home without users
_STRANGE = {"camera-snapshots": 4, "backups": 1}  # names in the seed that must be reported

Body = dict[str, dict[str, Any]]


class Story:
    """One telling, on servers that run; `root` is the demo's folder. `asked` are the user ids erased on request."""

    def __init__(self, *, seed: Seed, settings: Mapping[str, str], app: App, show: Show, root: Path) -> None:
        self._seed = seed
        self._settings = settings
        self._app = app
        self._show = show
        self._root = root
        self.asked = (seed.cast.alone, seed.cast.leaver, *seed.cast.pair)
        self._ids = {name: str(uuid4()) for name in (*self.asked, "nobody", "bad")}

    @property
    def leaver_request(self) -> str:
        """The id of the request of the person who leaves a home that stays."""
        return self._ids[self._seed.cast.leaver]

    async def store(self) -> None:
        """Upload the seed."""
        blobs, items = self._seed.blobs, self._seed.items
        users, homes = (sum(item.container == name for item in items) for name in ("users", "homes"))
        self._show.stage("Seed", f"two weeks of a company with {homes:,} homes and {users:,} users, all invented")
        with self._show.progress() as progress:
            blobs_bar = progress.add_task("blobs", total=len(blobs))
            items_bar = progress.add_task("items", total=len(items))
            await asyncio.gather(
                upload_blobs(self._seed, self._settings, lambda n: progress.advance(blobs_bar, n)),
                upload_items(self._seed, self._settings, lambda n: progress.advance(items_bar, n)),
            )
        containers = [record.container for record in self._seed.records]
        names = ("camera-snapshots", "operation-log", "web-access-log", "backups", "newsletter", "invoices")
        self._show.line(counts({name: containers.count(name) for name in names}))
        sample = self._root / "picture.jpg"
        picture = next(blob for blob in blobs if blob.camera and blob.taken)
        await asyncio.to_thread(sample.write_bytes, draw(picture.camera, picture.taken or self._seed.now))
        self._show.line(f"one of the pictures: {shorten(sample)}")

    # ------------------------------------------------------------ periods

    async def sweep(self) -> None:
        """Have all categories swept, and show what became of what was found."""
        self._show.stage("Sweep", "what has outlived its period goes; this message starts now what a timer does")
        run = str(uuid4())
        body = {"retention": {"version": 1, "type": "run", "id": run, "categories": []}}
        self._show.message(body)
        await self._app.send({run: body})
        due = check.due(self._seed)
        seen: dict[str, Sweep] = {}

        async def look() -> dict[str, Sweep]:
            seen.update(await self._app.sweeps(seen))
            return dict(seen)

        with self._show.progress() as progress:
            sweeps = await wait_for(
                look,
                lambda now: {*now} >= {*due, "users", "homes"} and all(sweep.finished for sweep in now.values()),
                what="the sweeps",
                show=SweepBars(progress, due).show,
            )
        self._show.table(
            ("category", "expired", "what became of it"),
            [(name, f"{sweep.found:,}", _became(sweep)) for name, sweep in sweeps.items()],
        )
        strange = {name: sum(sweep.strange.values()) for name, sweep in sweeps.items() if sweep.strange}
        for name in strange:
            self._show.line(f"{name}: {counts(sweeps[name].strange)}")
        self._show.expect("such names are reported and left alone", held=strange == _STRANGE)
        blocked = sweeps["camera-snapshots"].outcomes.get("blocked", 0)
        self._show.expect("the one picture that is leased is reported as blocked, and stays due", held=blocked == 1)

    # ------------------------------------------------------------ requests

    async def erase(self) -> None:
        """Send the erasure messages and wait until every request is finished."""
        self._show.stage("Erase", "four people want to be forgotten: a message each, sent with the vendor's SDK")
        cast = self._seed.cast
        email = str(self._seed.user(cast.leaver)["email"]).capitalize()  # as the person wrote it
        bad = self._message("bad", {"user_id": cast.alone})
        del bad["retention"]["identity_verified_by"]
        by_email = self._message(cast.leaver, {"email": email})
        self._show.message(by_email)
        # The two that cannot be carried out first; the two members of one home in one batch, at the same moment.
        nobody = self._message("nobody", {"email": "nobody.at.all@example.com"})
        await self._app.send({self._ids["bad"]: bad, self._ids["nobody"]: nobody})
        await self._app.send({self._ids[cast.alone]: self._message(cast.alone, {"user_id": cast.alone})})
        await self._app.send({self._ids[cast.leaver]: by_email})
        await self._app.send({self._ids[user]: self._message(user, {"user_id": user}) for user in cast.pair})
        total = len(self.asked) + 1 + _BY_POLICY
        with self._show.progress() as progress:
            bar = progress.add_task("requests", total=total)
            requests = await wait_for(
                self._app.requests,
                lambda seen: seen.finished >= total and seen.parked >= 1,
                what="the erasures",
                show=lambda seen: progress.update(bar, completed=seen.finished),
            )
        self._report(requests)

    def _message(self, name: str, subject: Mapping[str, str]) -> Body:
        request = {
            "version": 1,
            "type": "erase",
            "id": self._ids[name],
            "subject": dict(subject),
            "requested_by": "the person",
            "identity_verified_by": "customer service, by a call back",
        }
        return {"retention": request}

    def _report(self, requests: Requests) -> None:
        cast, documents = self._seed.cast, requests.documents
        who = {
            self._ids[cast.alone]: "alone in a home",
            self._ids[cast.leaver]: "one of two in a home",
            self._ids[cast.pair[0]]: "two of a home at once",
            self._ids[cast.pair[1]]: "  the other",
            self._ids["nobody"]: "an unknown e-mail",
        }
        by_policy = [request for request in documents if request not in who]
        who |= {request: documents[request].identity_verified_by for request in by_policy}
        rows = [
            (says, documents[request].state.replace("_", " "), _what_became(requests, request))
            for request, says in who.items()
            if request in documents
        ]
        self._show.table(("request", "state", "records"), rows)
        done = [documents[self._ids[user]] for user in self.asked if self._ids[user] in documents]
        until = [f"{each.in_backups_until:%Y-%m-%d}" for each in done if each.in_backups_until]
        finished = [each.state for each in done] == [State.DONE] * len(self.asked)
        self._show.expect(
            f"four people are erased; older backups hold them until {max(until, default='?')}, and the requests say so",
            held=finished and len(until) == len(self.asked),
        )
        self._show.expect(
            "the policy itself erased a contract that ended, a user away for 25 months, a home without users",
            held=[documents[request].state for request in by_policy] == [State.DONE] * _BY_POLICY,
        )
        nobody = documents.get(self._ids["nobody"])
        waits = nobody is not None and nobody.state is State.NEEDS_ATTENTION
        self._show.expect("the unknown e-mail waits for a person to decide", held=waits)
        parked = requests.parked == 1 and self._ids["bad"] not in documents
        self._show.expect(
            "a message that does not say who verified the person's identity is parked, not obeyed", held=parked
        )


def _became(sweep: Sweep) -> str:
    return counts({**sweep.outcomes, "sent to be erased": sweep.forwarded}) if sweep.found else ""


def _what_became(requests: Requests, request: str) -> str:
    document = requests.documents[request]
    total: dict[str, int] = {}
    for outcomes in document.outcomes().values():
        for outcome, number in outcomes.items():
            total[outcome] = total.get(outcome, 0) + number
    return counts(total) if total else document.reason
