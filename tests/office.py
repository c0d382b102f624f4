"""What status gathers, shared by its tests: the containers that it reads, in memory, and ways to fill them."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ledger_world import START, World

from shared.holds import Holds
from shared.journal import Journals
from shared.liveness import TIMERS, Heartbeats
from shared.model import utc_text
from shared.parking import ParkedMessage
from shared.policy_file import load
from shared.requests.documents import RequestDocument, State
from shared.requests.status import RequestStatus, request_status
from shared.runs import Runs
from shared.standing import Status
from shared.status import Gathering
from shared.stores.memory import MemoryObjects

POLICY = load(Path(__file__).parents[1] / "policy.yaml")
AFTER = timedelta(minutes=10)
ID = "11111111-1111-4111-8111-111111111111"
WHO = "kari.nordmann"


class Office:
    """Everything that status reads, in memory."""

    def __init__(self) -> None:
        self.world = World()
        self.requests, self.parking, self.holds = (MemoryObjects(clock=START) for _ in range(3))
        self.heartbeats = Heartbeats(objects=MemoryObjects(clock=START))
        self.runs = Runs(objects=MemoryObjects(clock=START))
        self.gathering = Gathering(
            policy=POLICY,
            runs=self.runs,
            journals=Journals(objects=self.world.stores["journals"]),
            requests=self.requests,
            parking=self.parking,
            holds=Holds(objects=self.holds),
            heartbeats=self.heartbeats,
            ledger=self.world.ledger,
            after=AFTER,
        )

    async def gather(self, **more: Any) -> Status:
        return await self.gathering.gather(**more)

    async def said(self, **more: Any) -> list[str]:
        """The texts of what needs attention."""
        return [each.text for each in (await self.gather(**more)).attention]

    async def ask(self, request: str = ID) -> RequestStatus:
        return await request_status(request, requests=self.requests, parking=self.parking)

    async def put(self, state: State, *, request: str = ID, closes_at: datetime | None = None, **more: Any) -> None:
        fields: dict[str, Any] = {
            "id": request,
            "type": "erase",
            "state": state,
            "digest": "0",
            "received_at": START,
            "accepted_at": START,
            "due_at": START + timedelta(days=31),
            "requested_by": f"{WHO} by letter",
            "identity_verified_by": f"passport of {WHO}",
            "subject": {"email": f"{WHO}@example.test"},
            "homes": (f"home-of-{WHO}",),
        }
        document = RequestDocument(**{**fields, **more})
        metadata = {"state": document.state.value, "due_at": utc_text(document.due_at)}
        metadata |= {"closes_at": utc_text(closes_at)} if closes_at else {}
        await self.requests.create(f"{request}.json", document.model_dump_json().encode(), metadata=metadata)

    async def park(self, name: str = "a", *, request: str | None = ID, dismissed: bool = False) -> None:
        entry = ParkedMessage(
            queue="requests",
            message_id="1",
            parked_at=START,
            reason=f"reason {name}",
            request=request,
            body=WHO,
            told_as="0/0",
            dismissed_at=START if dismissed else None,
        )
        metadata = {"request": request} if request else {}
        metadata |= {"dismissed_at": utc_text(START)} if dismissed else {}
        await self.parking.create(f"requests/{name}.json", entry.model_dump_json().encode(), metadata=metadata)

    async def beat(self, *, but: str = "", **times: Any) -> None:
        """A heartbeat of every timer at the start, of `but` never, of others at the times given."""
        for name in TIMERS:
            if name != but:
                await self.heartbeats.timer(name, times.get(name, START))

    def later(self, by: timedelta) -> None:
        self.world.stores["journals"].clock += by
