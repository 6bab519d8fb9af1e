"""A call that stands: requests of either side are passed to the other, and the end of one ends the other.

RFC 3261 §15 (BYE), RFC 3326 (Reason). Changes are passed by `p2psip/calls/changes.py`, INFO and MESSAGE by `relaying.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import reason_header
from p2psip.calls.changes import Changes
from p2psip.calls.ends import OverlayEnd
from p2psip.calls.equipment import Equipment
from p2psip.calls.loans import Loan
from p2psip.calls.negotiation import Negotiation
from p2psip.calls.pressing import Pressing
from p2psip.calls.refreshing import Refreshing
from p2psip.calls.relaying import RELAYED_METHODS, Relaying
from p2psip.calls.restarts import PathRestarts
from p2psip.calls.sides import Side
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange

BRIEF_SECONDS = 10.0
"""Shorter calls are spared the tasks of session timers."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a call ended. `by` is the side that said so, if any; `header` is the Reason that the other side gets.

    After a transfer the talk goes on in `successor`, or the side `lent` goes on in another call.
    """

    status: int
    words: str
    by: Side | None = None
    header: tuple[str, str] | None = None
    successor: "Talk | None" = None
    lent: Loan | None = None


class Talk:
    """Serves both sides until the call is over. `callee` is None when a local service answered.

    `confirmed` is to be set when the INVITE that made the call is acknowledged: this node changes nothing before.
    """

    def __init__(self, equipment: Equipment, caller: Side, callee: Side | None) -> None:
        self._equipment = equipment
        self.caller = caller
        self.callee = callee
        self._over = trio.Event()
        self.negotiation = Negotiation()
        self._relaying = Relaying(equipment)
        self._pressing = Pressing(equipment, caller, callee)
        self._changes = Changes(self.negotiation, self._fail, self._pressing.review)
        self.confirmed = trio.Event()
        self.awaits_answer = False  # the callee's offer has no answer before the caller's ACK
        self.leaver: Side | None = None  # whose BYE does not end the call: a transfer by it is under way
        self.left = trio.Event()
        self.borrowed: list[Loan] = []
        self.ending: Ending | None = None

    async def run(self) -> Ending:
        """Return when the call is over; whoever did not hang up has been told by then."""
        async with trio.open_nursery() as nursery:
            with self._served(nursery):
                self._pressing.begin(nursery)
                for side in (self.caller, self.callee):
                    if side is not None:
                        self._watch_path(side, nursery)
                with trio.move_on_after(BRIEF_SECONDS):
                    await self._over.wait()
                if not self._over.is_set():
                    for side in (self.caller, self.callee):
                        if side is not None:
                            nursery.start_soon(self._keep_session, side)
                await self._over.wait()
            nursery.cancel_scope.cancel()
        assert self.ending is not None
        return self.ending

    async def say_goodbye(self, ending: Ending) -> None:
        """BYE to every side that did not hang up itself. Nobody is told the account of a phone, with which it logs in."""
        words = ending.words
        names = [side.name for side in (self.caller, self.callee) if side is not None and side.name.startswith("phone")]
        for name in sorted(names, key=len, reverse=True):  # one may begin with another
            words = words.replace(name, "the other side")
        header = ending.header or reason_header(ending.status, words)
        gone = (None, ending.by, ending.lent and ending.lent.side, self.leaver if self.left.is_set() else None)
        sides = [side for side in (self.caller, self.callee) if side is not None and side not in gone]
        if len(sides) == 1:
            await sides[0].hang_up(header)
            return
        async with trio.open_nursery() as nursery:
            for side in sides:
                nursery.start_soon(side.hang_up, header)

    def end(self, ending: Ending) -> None:
        """The call is over; the first word counts. What goes on elsewhere after a transfer ends there."""
        if self.ending is None:
            self.ending = ending
            self._over.set()
        elif self.ending.successor is not None:
            self.ending.successor.end(ending)
        elif self.ending.lent is not None and self.ending.lent.recall is not None:
            self.ending.lent.recall(ending.status, ending.words)

    async def settle(self, *, tell_caller: bool, tell_callee: bool) -> None:
        """The sides are agreed: tell them what they were not told before the answer, unless one has hung up by now."""
        if self.ending is not None:
            return
        self._pressing.review()
        chance = self._equipment.chance
        if tell_callee and self.callee is not None:
            await self._changes.settle(self.callee, self.caller, chance)
        if tell_caller and self.callee is not None:
            await self._changes.settle(self.caller, self.callee, chance)

    async def wait_over(self) -> None:
        """Return when the call is over, or has passed to other hands."""
        await self._over.wait()

    def other(self, side: Side) -> Side | None:
        """Who talks with `side`; None for a local service."""
        return self.callee if side is self.caller else self.caller

    def put_in_place(self, leaves: Side, loan: Loan) -> bool:
        """Let the borrowed side take the place of `leaves`, which is told nothing; False when the call is over already."""
        if self.ending is not None:
            return False
        comes = loan.side
        sides = (comes, self.callee) if leaves is self.caller else (self.caller, comes)
        successor = Talk(self._equipment, *sides)
        successor.borrowed = [*self.borrowed, loan]
        successor.confirmed.set()
        loan.recall = lambda status, words: successor.end(Ending(status, words))
        self.end(Ending(200, f"{comes.name} takes the place of {leaves.name}", successor=successor))
        return True

    def give_back(self) -> None:
        """All is over: tell the calls that lent sides to this one that they are free again."""
        self._changes.close()
        for loan in self.borrowed:
            loan.returned.set()

    @contextmanager
    def _served(self, nursery: trio.Nursery) -> Iterator[None]:
        """Meanwhile the requests of both sides are served, with tasks in `nursery`."""
        pairs = ((self.caller, self.callee), (self.callee, self.caller))
        takes = [(side, partial(self._dispatch, side, other, nursery)) for side, other in pairs if side is not None]
        try:
            for side, take in takes:
                side.serve(take)
            yield
        finally:
            for side, take in takes:
                side.leave_waiting(take)

    def _dispatch(self, side: Side, other: Side | None, nursery: trio.Nursery, exchange: ServerExchange) -> None:
        method = exchange.request.method
        if method == "BYE":
            exchange.respond(make_response(exchange.request, 200))
            side.note_said("200 OK")
            if side is self.leaver:
                self.left.set()
                return
            reason = exchange.request.headers.get("Reason")
            header = ("Reason", reason) if reason else None
            self.end(Ending(200, f"{side.name} hung up", side, header))
        elif method in ("INVITE", "UPDATE"):
            self._begin_change(exchange, side, other, nursery)
        elif method in RELAYED_METHODS:
            self._relaying.begin(exchange, side, other, nursery)
        elif method == "PRACK":
            side.acknowledge_provisional(exchange)
            self._begin_change(exchange, side, other, nursery)
        elif method == "OPTIONS":
            side.answer(exchange)
        elif method == "REFER":
            self._equipment.take(exchange)
        else:
            raise RemoteError(f"{method} is not served within a call", status=405)

    def _watch_path(self, side: Side, nursery: trio.Nursery) -> None:
        if side.end.can_be_lost:
            nursery.start_soon(self._watch_media, side)
        if isinstance(side.end, OverlayEnd):
            nursery.start_soon(self._keep_path, side, side.end)

    async def _keep_path(self, side: Side, end: OverlayEnd) -> None:
        await self.confirmed.wait()
        chance = self._equipment.chance
        await PathRestarts(side, end, self.negotiation, chance, self._fail).run()

    async def _keep_session(self, side: Side) -> None:
        """Session timers (RFC 4028): refresh, and give up a side that has vanished."""
        await self.confirmed.wait()
        refreshing = Refreshing(side, self.negotiation, self._equipment.chance)
        reason = await side.timer.run(refreshing.refresh, elapsed=BRIEF_SECONDS)
        self.end(Ending(408, f"{side.name} is gone: {reason}"))

    async def _watch_media(self, side: Side) -> None:
        reason = await side.end.wait_lost()
        words = f"the media path to {side.name} is lost: {reason}"
        self.end(Ending(503, words))

    def _begin_change(self, exchange: ServerExchange, side: Side, other: Side | None, nursery: trio.Nursery) -> None:
        if exchange.request.body and self.awaits_answer and not self.confirmed.is_set():
            raise RemoteError("the first offer has no answer yet", status=491)
        self._changes.begin(exchange, side, other, nursery)

    def _fail(self, error: RemoteError) -> None:
        self.end(Ending(error.status, str(error)))
