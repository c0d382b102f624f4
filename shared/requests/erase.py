"""The erasure of a person, a home, an address, a session or a visit: a state machine that resumes anywhere.

Everything is found again until nothing is left, so a record that appears meanwhile goes too. A shared home is left
under its ETag; whoever leaves it empty erases it, the home's own record first: that is the moment after which nobody
can join. The user record goes last.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared import audit, messages
from shared.deletion import UndecidedError, count
from shared.errors import PermanentError, TransientError
from shared.message_forms import Visit
from shared.model import Blocked, Held, Outcome, Record, Retained, Scope, ScopeKind, utc_text
from shared.policy import Category
from shared.requests.by_policy import still_due
from shared.requests.documents import OPEN, State
from shared.requests.register import Register
from shared.requests.scopes import (
    HAS_USERS,
    backups_until,
    finding,
    identifying,
    not_reached,
    shared_category,
    spellings,
    visit_of,
)
from shared.requests.work import ROUNDS, Attempt, OutOfTimeError, PausedError, Tools
from shared.stores.interface import Queue

log = logging.getLogger("retention.requests")
NOT_DUE = "the policy asks for it no more: the record has changed, or is held, or the policy has changed"
TAKEN = {"erased", "erased_recoverable", "left"}  # the outcomes after which an erasure has begun, for certain
NAMED = 20  # records that had to stay are named in the document up to this number
RESTORED_HOME = "a home that was erased has users in the restored data: decide about each of them"
SHARED_ADDRESS = "another user has the same e-mail address: decide whose the records are that only name the address"
NO_HOMES = "no enforced category is shared by members: the policy has changed"
UNDATED = "a law keeps records that do not say until when"


@dataclass(frozen=True, kw_only=True)
class Eraser:
    """What erasing needs: the tools, the session queue for continuations, the register of erased scopes."""

    tools: Tools
    work: Queue
    register: Register

    async def carry_out(self, order: messages.Work, *, hurry: Callable[[], bool]) -> None:
        """Work on a request until it is finished, or until `hurry` says to queue a continuation.

        1. Finish what an earlier attempt left open, by recovery.
        2. See what else is the person's: homes, e-mail addresses, the visits that were named.
        3. Leave the shared homes, and erase each that is left empty.
        4. Erase the other scopes' records, then the person's own, category by category, the user record last.
        5. Write the register entry.
        6. Finish: `done, in backups until`, or needs attention when something had to stay that no law keeps.

        Raises TransientError (redelivered), PermanentError for an unknown request.
        """
        requests = self.tools.requests
        request = str(order.request)
        held = await requests.load(request)
        if held is None:
            raise PermanentError("the message names a request that nobody made")
        scope = held.value.scope_value()
        if held.value.state not in OPEN or scope is None:  # one without a scope is intake's still
            await requests.flush(held)
            return
        attempt = _Erasure(tools=self.tools, held=held, scope=scope, hurry=hurry, register=self.register)
        try:
            await attempt.run()
        except PausedError:
            log.warning("request %s waits: erasures are paused", request)
        except UndecidedError as error:
            log.info("request %s waits, until the watch comes back to it: %s", request, error)
        except OutOfTimeError:
            body = messages.work(request=request, hop=order.hop + 1)
            message_id = f"{request}-{order.hop + 1}-{secrets.token_hex(4)}"  # never taken for an earlier one
            session = await requests.session(scope)
            await self.work.send(body, message_id=message_id, session_id=session)


@dataclass(kw_only=True)
class _Erasure(Attempt):
    """One worker's go at an erasure."""

    register: Register

    async def run(self) -> None:
        """The steps of `carry_out`, from wherever the document stands."""
        await self.update(state=State.WORKING)
        await self.finish_earlier()
        if not await self._is_due():
            await self._finish(NOT_DUE, State.REJECTED)
            return
        if self.document.also is None or self.document.shared_addresses:
            await self._find_others()
        await self._leave_homes()
        shared, homes = shared_category(self.tools.policy), self.document.homes or ()
        if shared is None and homes:
            await self._finish(NO_HOMES)
            return
        lived_in = [home for home in homes if shared and await self._erase_home(shared, home) == "has users"]
        if lived_in and self.scope.kind is ScopeKind.HOME:
            # somebody joined since it was looked at, or made it anew: the register must not call it erased
            if await self._is_asked_for():
                await self._finish(HAS_USERS)
            else:
                await self._finish(NOT_DUE, State.REJECTED)
            return
        for kind, scope_id in self.document.also or ():
            scope = Scope(kind=kind, id=scope_id)
            for category in finding(self.tools.policy, kind):
                await self.erase(category, scope)
        if self.scope.kind is not ScopeKind.HOME:
            for category in finding(self.tools.policy, self.scope.kind):
                await self.erase(category, self.scope)
        now = await self.tools.requests.objects.now()  # a worker's clock that is behind would date it before a backup
        await self.register.note(self.document.id, self.scope, self.document.scopes(), now)
        again = {scope_id for kind, scope_id in self.document.besides if kind is ScopeKind.HOME}
        await self._finish(RESTORED_HOME if again & set(lived_in) else "")

    async def _is_due(self) -> bool:
        """Whether to go on: with what has begun, with what somebody asked for, with what the policy asks for still."""
        begun = any(TAKEN & (unit.outcomes or {}).keys() for unit in self.document.work)
        return begun or await self._is_asked_for()

    async def _is_asked_for(self) -> bool:
        tools = self.tools
        return await still_due(self.document, self.scope, tools.policy, tools.stores, tools.gate)

    # ------------------------------------------------------------ what is whose

    async def _find_others(self) -> None:
        """Note what else of the person's is searched: the visits that were named, and the addresses that are theirs.

        An address that another user has too is not searched, and is looked at again by each attempt.
        """
        known = self.document.also
        also = [Scope(kind=kind, id=scope_id) for kind, scope_id in known or ()]
        addresses = [Scope(kind=ScopeKind.ADDRESS, id=each) for each in self.document.shared_addresses]
        if known is None:
            also += [visit_of(Visit.model_validate(self.document.visit))] if self.document.visit else []
            also += [Scope(kind=kind, id=each) for kind, each in self.document.besides if kind is not ScopeKind.HOME]
            also += spellings(self.scope.id) if self.scope.kind is ScopeKind.ADDRESS else ()
            addresses = await self._addresses()
        shared = [address for address in addresses if await self._of_others(address)]
        also += [address for address in addresses if address not in shared]
        names = tuple(dict.fromkeys((scope.kind, scope.id) for scope in also if scope != self.scope))
        await self.update(also=names, shared_addresses=tuple(address.id for address in shared))

    async def _addresses(self) -> list[Scope]:
        """The person's e-mail addresses."""
        people = identifying(self.tools.policy)
        if self.scope.kind is not ScopeKind.PERSON or people is None or people.identifies is None:
            return []
        texts = await self.store(people).values(people, self.scope, people.identifies.email)
        return list(dict.fromkeys(spelling for text in texts if text.strip() for spelling in spellings(text)))

    async def _of_others(self, address: Scope) -> bool:
        """Whether another user has this address."""
        people = identifying(self.tools.policy)
        if people is None or people.identifies is None:
            return False
        found = await self.store(people).find(people, people.identifies.email, address.id)
        return bool({record.scope for record in found} - {self.scope})

    async def _undecided(self) -> bool:
        """Whether records name an address of the person's that another user has too."""
        for address in self.document.shared_addresses:
            scope = Scope(kind=ScopeKind.ADDRESS, id=address)
            for category in finding(self.tools.policy, ScopeKind.ADDRESS):
                if [record for record in await self.records(category, scope) if not _person_of(record)]:
                    return True
        return False

    # ------------------------------------------------------------ homes

    async def _leave_homes(self) -> None:
        """Note the homes a request is about, and take the person out of them.

        A home is noted before it is left: one that is joined meanwhile, or that a restore brought back, is met too.
        """
        shared = shared_category(self.tools.policy)
        if self.scope.kind is ScopeKind.HOME:
            await self.update(homes=(self.scope.id,))
        if self.scope.kind is not ScopeKind.PERSON or shared is None:
            return
        known = [scope_id for kind, scope_id in self.document.besides if kind is ScopeKind.HOME]
        for _ in range(ROUNDS):
            records = [each for each in await self.records(shared, self.scope) if each.locator not in self.stay]
            homes = [*(self.document.homes or ()), *known, *(each.scope.id for each in records if each.scope)]
            if tuple(dict.fromkeys(homes)) != self.document.homes:
                await self.update(homes=tuple(dict.fromkeys(homes)))
            if not records:
                return
            for start in range(0, len(records), self.tools.unit):
                await self.through_gate(shared, records[start : start + self.tools.unit], self.scope)
        raise TransientError(f"homes are joined as fast as they are left: request {self.document.id}")

    async def _erase_home(self, shared: Category, home_id: str) -> Literal["erased", "kept", "has users"]:
        """The home's own record first, on condition that it is still the empty one; then all that belongs to it.

        Its record gone is the moment after which nobody can join. A crash after it is resumed from the document,
        which lists the home; one that was never listed is found by the sweep of homes without users. A record that has
        to stay keeps the rest with it: somebody may join. A decision on its members stands in place of emptiness.
        """
        home = Scope(kind=ScopeKind.HOME, id=home_id)
        for _ in range(ROUNDS):
            records = await self.records(shared, home)
            if not records:
                break
            # Asked after the listing: whoever joins from here on makes it another version, which is not deleted.
            if self.document.decision_on_members is None and not await self.store(shared).empty(shared, home):
                return "has users"
            await self.through_gate(shared, records, home)
            if any(record.locator in self.stay for record in records):
                return "kept"
        else:
            raise TransientError(f"a home changes as fast as it is erased: request {self.document.id}")
        for category in finding(self.tools.policy, ScopeKind.HOME):
            if category.id != shared.id:
                await self.erase(category, home)
        if home.id not in self.document.erased_homes:
            await self.update(erased_homes=(*self.document.erased_homes, home.id))
        return "erased"

    # ------------------------------------------------------------ the end

    async def _finish(self, reason: str = "", ends: State = State.NEEDS_ATTENTION) -> None:
        """Done; or, for the reason given or because of what stayed, it `ends` otherwise."""
        now = await self.tools.requests.objects.now()  # what is compared with the backups' times is no worker's clock
        policy = self.tools.policy
        reason = reason or await self._why_not_done()
        kinds = {scope.kind for scope in self.document.scopes()} | ({ScopeKind.HOME} if self.document.homes else set())
        kinds |= {ScopeKind.ADDRESS} if self.scope.kind is ScopeKind.PERSON else set()
        until = backups_until(policy, now)
        stayed: dict[str, Counter[str]] = {}
        for category, why in self.stay.values():
            stayed.setdefault(category, Counter()).update(count([why]))
        change: dict[str, Any] = {
            "stayed": {category: dict(counts) for category, counts in stayed.items()},
            "not_reached": not_reached(policy, kinds),
            "retained": self._retained(),
            "strange": dict(sum(self.strange.values(), Counter[str]())),
        }
        data: dict[str, Any] = {
            "strange": change["strange"],
            "outcomes": self.document.model_copy(update=change).outcomes(),
            "not_reached": sorted(change["not_reached"]),
            "retained": {name: utc_text(end) if end else None for name, end in change["retained"].items()},
        }
        if until is not None:  # with backups that are only planned to go, no time is true
            data["in_backups_until"] = utc_text(until)
        kind, state = audit.EventType.REQUEST_COMPLETED, State.DONE
        if reason:
            kind, state = audit.EventType.REQUEST_NEEDS_ATTENTION, ends
            if ends is State.REJECTED:
                kind = audit.EventType.REQUEST_REJECTED
            else:
                log.error("ALARM request %s needs attention: %s", self.document.id, reason)
            data["reason"] = reason
        event = await self.tools.requests.event(kind, self.document, self.tools.clock(), data)
        blocked = [locator for locator, (_, why) in self.stay.items() if isinstance(why, Held | Blocked)]
        change["stayed_records"] = tuple(locator.text() for locator in blocked[:NAMED])
        change |= {"state": state, "reason": reason, "finished_at": now, "in_backups_until": until, "outbox": (event,)}
        await self.update(**change)

    async def _why_not_done(self) -> str:
        """What a person must decide about; "" when all is gone but what a law keeps until a known time."""
        stayed = [why for _, why in self.stay.values() if isinstance(why, Held | Blocked)]
        if stayed:
            return f"some records had to stay: {_counts(stayed)}"
        if None in self._retained().values():
            return UNDATED
        return SHARED_ADDRESS if await self._undecided() else ""

    def _retained(self) -> Mapping[str, datetime | None]:
        """Until when a law keeps records, by category; None where one does not say."""
        found: dict[str, list[datetime | None]] = {}
        for category, why in self.stay.values():
            if isinstance(why, Retained):
                found.setdefault(category, []).append(why.until)
        ends = {name: [end for end in untils if end is not None] for name, untils in found.items()}
        return {name: max(ends[name]) if len(ends[name]) == len(untils) else None for name, untils in found.items()}


def _counts(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(count(outcomes).items()))


def _person_of(record: Record) -> Scope | None:
    """The user whom a record names, if any."""
    return next((each for each in (record.scope, *record.names) if each and each.kind is ScopeKind.PERSON), None)
