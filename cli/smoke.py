"""`retention smoke`: the test after a deployment: timers, posture, a synthetic person from creation to proof, the log.

The person is invented, and created with the caller's own identity; the functions erase them on a message, as anybody.
Refused before anything is created: a policy without people, stores without the containers, a log without a key to check
it with, or with one that is none. Whatever happens, it says what is left of the person; nothing is deleted from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import uuid4

import typer

from cli import output, posture, settings
from cli.logs import check_live
from cli.sending import SEND_SECONDS
from cli.synthetic import Invented, Person, Seeds, invent
from cli.trusted import keys_in
from shared import messages
from shared.audit import EventType
from shared.errors import ConfigError, TransientError
from shared.ledger.log import logs
from shared.ledger.reader import Live, entries
from shared.liveness import Beat
from shared.posture.watch import last_posture
from shared.posture.worst_case import judge
from shared.receipt import is_about
from shared.requests.documents import RequestDocument
from shared.requests.status import RequestStatus, request_status

if TYPE_CHECKING:
    from shared.wiring import Product

T = TypeVar("T")

LONG = 1200
"""Seconds: more than the quarter of an hour after which the slowest timers but the daily ones have fired once."""
POLL_SECONDS = 1.0
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FRESH = timedelta(days=2)  # of the daily look at posture
NO_KEY = "no key to check the log with: set LEDGER_VERIFIER_KEY, the public key of the signing seed"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: what it saw, and where in docs/operate.md to look when that is not fine. `more` are lines below it."""

    step: str
    fine: bool
    saw: str
    see: str = ""
    more: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Trial:
    """One smoke test: `wait` are the seconds for each thing that takes its time, `left` is what it may leave behind."""

    app: Product
    wait: float
    told: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list)
    request: str = ""
    left: list[Invented] = field(default_factory=list)

    def tell(self, step: Step) -> Step:
        """Note a step, and print it."""
        self.steps.append(step)
        self.told(step)
        return step


def smoke(
    *,
    no_person: Annotated[
        bool, typer.Option("--no-person", help="Create nobody: timers, posture and log only.")
    ] = False,
    timeout: Annotated[
        int,
        typer.Option(min=1, metavar="SECONDS", help="How long to wait for the timers, for the erasure, for the log."),
    ] = LONG,
    as_json: output.Json = False,
) -> None:
    """Test a deployment: its timers, its posture, one synthetic person from creation to proof, its log.

    1. Timers: each has succeeded, those of every minute since the test began, but the daily one, which may not have had
    its turn. 2. Posture: as `retention posture`; what you may not read, the pipeline's own look tells. 3. A
    person is invented (a user with random ids, a home of theirs, a picture) and created with your own identity; an
    erase message is sent for them; when the request is done, the stores are asked whether all of it is gone. 4. The log
    is checked as by `retention audit verify`, and has the event that completed the request.

    Nothing synthetic stays: what a failed erasure leaves is named, and the policy's own sweep takes it a day later.
    Kept is what is kept of any request: its document, its register entry, its events.

    For a deployment by azd: `azd env get-values --output json > FILE`, then `retention --settings FILE smoke`; `make
    smoke` does both. It takes the roles that infra/data/roles.json gives smoke, operators and auditors.

    Exit codes: 0 all is kept; 1 a step failed, and says which section of docs/operate.md to read; 2 wrong settings or
    policy, or containers that are not there: nothing was created; 3 a store did not answer.
    """

    def show(step: Step) -> None:
        say = output.note if as_json else output.say
        say(f"{'ok' if step.fine else 'FAILED':<7} {step.step:<8} {step.saw}{f' (#{step.see})' if step.see else ''}")
        for line in step.more:
            say(f"{'':<16} {line}")

    async def work(app: Product) -> Trial:
        trial = Trial(app=app, wait=timeout, told=show)
        await _run(trial, with_person=not no_person)
        return trial

    trial = settings.with_product(work, governed=True)
    fine = all(step.fine for step in trial.steps)
    if as_json:
        left = [{"category": each.category, "record": str(each)} for each in trial.left]
        steps = [asdict(step) for step in trial.steps]
        output.document({"fine": fine, "steps": steps, "request": trial.request or None, "left": left})
    else:
        output.say("fine" if fine else "NOT FINE")
    if not fine:
        raise typer.Exit(output.Code.ATTENTION)


async def _run(trial: Trial, *, with_person: bool) -> None:
    """The steps of `smoke`, each told when it is over. Raises ConfigError before anything is created."""
    app = trial.app
    _need_key(app)
    person = invent(app.policy, datetime.now(UTC)) if with_person else None
    if person is not None and (lacking := await Seeds(app=app).lacking(person.records)):
        raise ConfigError(
            f"there is no container {', '.join(lacking)}: create it, or leave the person out: --no-person"
        )
    output.note(f"waiting for the timers, at most {trial.wait:.0f} s")
    alive = trial.tell(await _timers(trial)).fine
    output.note("reading the settings of the stores")
    trial.tell(await _posture(app))
    done: RequestDocument | None = None
    if person is not None and not alive:
        trial.tell(Step(step="person", fine=False, saw="nobody was created: the timers come first", see="timers"))
    elif person is not None:
        output.note(f"waiting for the erasure of a synthetic person, at most {trial.wait:.0f} s")
        done = await _person(trial, person)
    output.note("checking the log")
    trial.tell(await _log(trial, done))


def _need_key(app: Product) -> None:
    """Raise ConfigError where the log could not be checked at the end: no key, or one that cannot be read."""
    if published := app.config.text("LEDGER_VERIFIER_KEY"):
        keys_in(published, "setting LEDGER_VERIFIER_KEY")
    elif app.config.has("LEDGER_SIGNING_SEED"):
        app.signer(f"{datetime.now(UTC).year}")
    else:
        raise ConfigError(NO_KEY)


# ---------------------------------------------------------------- posture, timers


async def _posture(app: Product) -> Step:
    """What the stores' settings make of each promise; what the caller may not read, the pipeline's last look tells."""
    now = datetime.now(UTC)
    found = judge(app.policy, await app.posture.stores(), now=now)
    if found.fine:
        return Step(step="posture", fine=True, saw=posture.summary(found))
    wrong = [each for each in found.findings if each.kind != "note"]
    last = await last_posture(app.own("heartbeats"))
    unknown_to_us_alone = all(each.kind == "unknown" for each in wrong)
    if unknown_to_us_alone and last is not None and last.fine and now - last.at <= FRESH:
        unread = output.many(len(wrong), "finding")
        saw = f"fine by the pipeline's own look at {output.when(last.at)}; to you {unread} would be unknown"
        return Step(step="posture", fine=True, saw=saw)
    more = tuple(f"{e.kind}: {e.where}: {', '.join(e.settings)}: {e.text}; do: {e.remedy}" for e in wrong)
    return Step(step="posture", fine=False, saw=posture.summary(found), see="posture", more=more)


async def _timers(trial: Trial) -> Step:
    """Wait until every timer has fired; a daily one need not yet."""
    beats = trial.app.heartbeats
    began = await beats.objects.now()
    late: list[str] = []

    async def look() -> int | None:
        found = (await beats.read(await beats.objects.now(), categories={})).timers
        late[:] = [beat.name for beat in found if not _beats(beat, began)] if found else ["none has run yet"]
        return None if late else len(found)

    number = await _until(look, trial.wait)
    if number is None:
        saw = f"not on time after {trial.wait:.0f} s: {', '.join(late)}"
        return Step(step="timers", fine=False, saw=saw, see="timers")
    return Step(step="timers", fine=True, saw=f"{number} on time, those of every minute since the test began")


def _beats(beat: Beat, began: datetime) -> bool:
    """Whether a timer runs now: what it did before a deployment says nothing of the deployed code."""
    if beat.late or beat.last is None:
        return not beat.late and beat.interval > HOUR
    return beat.interval > MINUTE or beat.last >= began


# ---------------------------------------------------------------- the person


async def _person(trial: Trial, person: Person) -> RequestDocument | None:
    """Create the person, have them erased, look; the request's document once it is done. Tells what is left."""
    try:
        return await _erased(trial, person)
    except BaseException:  # a store away, or Ctrl-C: in any case it is said what may be left
        if trial.left:
            for line in _leavings(trial, person, "may be left"):
                output.note(line)
        raise


async def _erased(trial: Trial, person: Person) -> RequestDocument | None:
    seeds, began = Seeds(app=trial.app), datetime.now(UTC)
    failed: TransientError | None = None
    for record in person.records:
        trial.left.append(record)
        try:
            await seeds.create(record)
        except TransientError as error:  # it may be there all the same: what is, is erased before the error is raised
            failed = error
            break
    if failed is not None and not await _look(trial, seeds):
        raise failed
    trial.request = str(uuid4())
    await _send(trial.app, trial.request, person)
    found = await _until(partial(_settled, trial.app, trial.request), trial.wait)
    await _look(trial, seeds)
    if failed is not None:
        raise failed
    document = found.document if found is not None else None
    if trial.left or found is None or found.needs_a_person or document is None:
        how = found.state.replace("_", " ") if found is not None else f"not done after {trial.wait:.0f} s"
        reasons = [document.reason] if document else [each.reason for each in found.parked] if found else []
        saw = f"request {trial.request} is {how}{''.join(f': {each}' for each in reasons if each)}"
        left = _leavings(trial, person, "left") if trial.left else ()
        trial.tell(Step(step="person", fine=False, saw=saw, see="requests", more=tuple(left)))
        return None
    counts = "; ".join(f"{name}: {output.counts(each)}" for name, each in document.outcomes().items())
    took = output.age(datetime.now(UTC) - began)
    saw = f"created, erased in {took}, and gone: {counts} (request {trial.request})"
    trial.tell(Step(step="person", fine=True, saw=saw))
    return document


async def _look(trial: Trial, seeds: Seeds) -> list[Invented]:
    """What of the person is there."""
    trial.left[:] = [record for record in trial.left if await seeds.there(record)]
    return trial.left


async def _send(app: Product, request: str, person: Person) -> None:
    body = messages.compose(
        "erase",
        id=request,
        subject={"user_id": person.user_id},
        requested_by="retention smoke",
        identity_verified_by="nobody to verify: the person is synthetic",
    )
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await app.queue("requests").send(body, message_id=request)
    except TimeoutError:
        raise TransientError(f"Service Bus: no answer in {SEND_SECONDS} s") from None


async def _settled(app: Product, request: str) -> RequestStatus | None:
    found = await request_status(request, requests=app.own("requests"), parking=app.own("parking"))
    return found if found.settled else None


def _leavings(trial: Trial, person: Person, word: str) -> Sequence[str]:
    lines = [f"{word}: {each}" for each in trial.left]
    if trial.request:
        how = f"`retention request show {trial.request}` says how their erasure stands"
    else:
        how = f"no erasure was sent: `retention request erase --user-id {person.user_id}` sends it"
    due = f"; the policy's own sweep takes them after {output.when(person.due)}" if person.due else ""
    return [*lines, how + due]


# ---------------------------------------------------------------- the log


async def _log(trial: Trial, done: RequestDocument | None) -> Step:
    """Wait until the request's end is sealed; then check the log that has it, else the latest."""
    year, index, app = "", -1, trial.app
    if done is not None:
        held = await _until(partial(_sealed, app, done), trial.wait)
        if held is None:
            saw = f"the event that completed the request is not sealed after {trial.wait:.0f} s"
            return Step(step="log", fine=False, saw=saw, see="ledger")
        year, index = held
    elif not await logs(app.ledger):
        waiting = [each async for each in app.own("journals").list()]
        saw = f"none, and journals wait for it: {len(waiting)}" if waiting else "none yet: nothing was deleted so far"
        return Step(step="log", fine=not waiting, saw=saw, see="ledger" if waiting else "")
    report = await check_live(app, year or None)
    whose = "LEDGER_VERIFIER_KEY" if app.config.text("LEDGER_VERIFIER_KEY") else "the key it finds, its own seed's"
    if not report.sound or report.size <= index:
        return Step(
            step="log", fine=False, saw=f"NOT SOUND by {whose}", see="ledger", more=tuple(map(str, report.findings[:5]))
        )
    saw = f"{report.origin} is sound by {whose}: {output.many(report.size, 'entry')}"
    saw += f"; entry {index} says that the request was completed" if done is not None else ""
    return Step(step="log", fine=True, saw=saw)


async def _sealed(app: Product, done: RequestDocument) -> tuple[str, int] | None:
    """In which year's log, and where, the latest checkpoint covers the event that completed the request."""
    for year in await logs(app.ledger):
        if int(year) < done.accepted_at.year:
            continue
        start = done.log_from if int(year) == done.accepted_at.year else 0
        async for index, event in entries(Live(ledger=app.ledger, year=year), start=start):
            if event["type"] == EventType.REQUEST_COMPLETED and is_about(event, done.id):
                return year, index
    return None


async def _until(ask: Callable[[], Awaitable[T | None]], seconds: float) -> T | None:
    """The first answer that is not None; None when there was none in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        found = await ask()
        if found is not None or loop.time() >= end:
            return found
        await asyncio.sleep(POLL_SECONDS)
