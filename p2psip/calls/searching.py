"""Where a call is tried: phones of this node, devices in the overlay, and, by the dial plan, servers outside one after the other.

People ring all at once; outside, the next server is asked when the one before failed (RFC 3263 §4.3), and the next route when a
trunk cannot help at all.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.codecs import preferring
from p2psip.calls.descriptions import Audio
from p2psip.calls.equipment import Equipment, Party
from p2psip.calls.forking import Branch, Forking
from p2psip.calls.outside import Line, OutsideTarget
from p2psip.calls.targets import Router, Target, Wanted, may_be_emergency
from p2psip.naming.routing import Route, Step
from p2psip.sip.flow import OVERLAY
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri

OUTSIDE_TARGETS_MAX = 12

_OF_FORWARDING = ("Privacy", "History-Info", "Diversion")
_NEXT_SERVER = (408, 503)
_NEXT_ROUTE = (402, 403, 408, 500, 502, 503, 504)


Targets = AsyncIterator[OutsideTarget | RemoteError]
Presented = tuple[NameAddr, tuple[tuple[str, str], ...]]


Ring = Callable[[Target, bool], Branch | None]
"""Calls one place, None when that cannot be tried; the flag says that it is the only one."""


class Costs(Protocol):
    """What a lookup cost, for the record of the call."""

    hops: int
    lookup_milliseconds: float


class Searching:
    """The search of one call. `found` is called before somebody rings.

    `lines` are the trunks in use, the caller's too; `has_gone_out` is set when somebody outside has answered, `is_for_help`
    when an emergency number was dialled, and nobody of the overlay is called so.
    """

    def __init__(
        self,
        equipment: Equipment,
        router: Router,
        forking: Forking,
        invite: Request,
        caller: Party,
        address: str,
        costs: Costs,
        ring: Ring,
        found: Callable[[], None],
    ) -> None:
        self._equipment = equipment
        self._router = router
        self._forking = forking
        self._invite = invite
        self._caller = caller
        self._wanted = Wanted.by(invite.uri)
        self._address = address
        self._ring = ring
        self._found = found
        self._costs = costs
        self._asked = 0
        self._before = len(forking.branches)
        self._is_member = caller.is_node and not equipment.addresses.is_own(address)
        self.lines: list[Line] = [] if caller.line is None else [caller.line]
        self.has_gone_out = False
        self.is_for_help = False

    async def run(self) -> None:
        """Search to the end, after which no more places come."""
        self._forking.searched(await self.search())

    async def search(self) -> Failure | None:
        """Search to the end; why there are fewer places than there could be."""
        try:
            await self._search()
        except RemoteError as error:
            return Failure.of_error(error)
        return None

    def close(self) -> None:
        """Give back what was taken of trunks."""
        for line in self.lines:
            line.close()

    async def limit(self, cut: Callable[[Failure], None]) -> None:
        """The call was answered: its time counts, and `cut` ends it where a trunk gives no more."""
        for line in self.lines:
            line.note_answered()
        while seconds := [more for line in self.lines if (more := line.more_seconds()) is not None]:
            if min(seconds) <= 0.0:
                cut(Failure(503, "the minutes of today on this trunk are used up"))
                return
            await trio.sleep(min(seconds))

    async def _search(self) -> None:
        steps = self._router.steps(self._address, self._invite, self._caller)
        reason: RemoteError | None = None
        has_plan = False
        try:
            async for step in steps:
                has_plan = True
                self.is_for_help |= step.is_emergency and step.stage in ("trunk", "refused")
                if step.stage == "refused":
                    self._note_refused(step)
                    raise RemoteError(step.reason, status=step.status or 403)
                if self._is_member and step.stage != "trunk":
                    continue
                if step.stage in ("local", "overlay"):
                    try:
                        await self._ring_people(step)
                    except RemoteError as error:  # an overlay that nobody answers in must not hold up the telephone
                        reason = error
                elif step.found and self._caller.serves_stranger:
                    reason = self._refuse_stranger(step)
                elif await self._ring_outside(step):
                    return
                elif not step.found:
                    reason = RemoteError(step.reason, status=step.status or 404)
                if self._found_so_far and step.stage == "overlay":
                    return
        finally:
            if isinstance(steps, AsyncGenerator):
                await steps.aclose()
        if not has_plan and not self._is_member:
            self._ring_here(self._address)
            await self._ring_elsewhere(self._address)
        if not self._found_so_far and not self._forking.failures:
            reason = reason or await self._router.why_nobody(self._address)
            self.is_for_help |= reason.status == 503 and may_be_emergency(self._address)
            raise reason

    @property
    def _found_so_far(self) -> int:
        return len(self._forking.branches) - self._before

    def _note_refused(self, step: Step) -> None:
        """What the dial plan forbids may be a stolen phone that calls numbers which pay the thief."""
        if step.status == 403:
            account, unix = self._caller.account, self._equipment.clock.unix()
            who = self._caller.address if account is None else f"phone {account} of {self._caller.address}"
            self._equipment.incidents.note("forbidden number", who, step.reason, unix)

    def _refuse_stranger(self, step: Step) -> RemoteError:
        words = f"{self._address} is outside, and callers from the open world are led on to people of this overlay only"
        self._note_refused(Step("refused", step.what, words, status=403))
        return RemoteError(words, status=403)

    # People

    async def _ring_people(self, step: Step) -> None:
        for route in step.found:
            address = SipUri.parse(route.uri).address
            if step.stage == "local":
                self._ring_here(address)
            else:
                await self._ring_elsewhere(address)

    def _ring_here(self, address: str) -> None:
        here = self._router.local(address, self._caller, self._wanted)
        more = self._router.needs_lookup(address, self._caller, bool(here))
        self._ring_all(here, alone=len(here) == 1 and not more)

    async def _ring_elsewhere(self, address: str) -> None:
        here = self._found_so_far
        if self._router.needs_lookup(address, self._caller, bool(here)):
            targets, cost = await self._router.remote(address, self._wanted)
            self._costs.hops, self._costs.lookup_milliseconds = cost.hops, cost.milliseconds
            self._ring_all(targets, alone=here + len(targets) == 1)

    def _ring_all(self, targets: list[Target], *, alone: bool) -> None:
        if targets:
            self._found()
        for target in targets:
            self._ring(target, alone)

    # Outside

    async def _ring_outside(self, step: Step) -> bool:
        """Try the routes of a step; whether the search is over, because somebody answered or said a definite no."""
        for route in step.found:
            status = await self._try_route(route)
            if status not in _NEXT_ROUTE:
                return True
        return False

    async def _try_route(self, route: Route) -> int:
        """The status of the last server; 200 when somebody answered, 503 when there was none."""
        member = self._caller.address if self._is_member else None
        before = len(self.lines)
        status = await self._try_all(self._router.outside.targets(route, self._caller.address, member))
        self.has_gone_out = self.has_gone_out or status == 200
        if status != 200:
            for line in self.lines[before:]:
                line.close()
        return status

    async def _try_all(self, targets: Targets, *, may_redirect: bool = True) -> int:
        status = 503
        try:
            async for found in targets:
                if isinstance(found, RemoteError):
                    self._forking.failures.append(Failure.of_error(found))
                    status = found.status
                    continue
                if found.line is not None and found.line not in self.lines:
                    self.lines.append(found.line)  # from now on it is given back here, asked or not
                if self._asked >= OUTSIDE_TARGETS_MAX:
                    return status
                self._asked += 1
                status = await self._try(found, may_redirect)
                if status not in _NEXT_SERVER:
                    return status
        finally:
            if isinstance(targets, AsyncGenerator):
                await targets.aclose()
        return status

    async def _try(self, found: OutsideTarget, may_redirect: bool) -> int:
        self._found()
        line = found.line
        branch = self._ring(Target(self._address, SipUri.parse(found.uri), found.flow, found.name, line), True)
        if branch is None:
            return 500
        await branch.decided.wait()
        failure, refusal = branch.failure, branch.refusal
        if failure is None:
            return 200
        if line is None:
            asks_password = refusal is not None and refusal.status in (401, 407)
            return 502 if asks_password else failure.status  # the next way may need none
        if refusal is not None and refusal.status < 400 and may_redirect:
            allowed = [each.uri for each in refusal.contacts if line.may_redirect(each.uri)][:1]
            for uri in allowed:
                self._forking.failures.remove(failure)
                return await self._try_all(self._router.outside.redirected(line, uri), may_redirect=False)
        status = failure.status if refusal is None else refusal.status
        line.note_failed(status, failure.words, server=found.flow.remote, refusal=refusal)
        return failure.status


def offered(audio: Audio, target: Target) -> Audio:
    """The audio to offer to `target`: a provider may have an order of codecs."""
    return audio if target.line is None else preferring(audio, target.line.codecs)


def presented_to(equipment: Equipment, caller: Party, target: Target, invite: Request) -> Presented | None:
    """Who calls, where `target` is told otherwise than a phone: From (without tag) and further header fields; else None.

    A provider is told what it wants. Another node believes our own addresses only, so who came by telephone is a name there; a
    stranger whom a phone of ours leads on is a stranger there, too.
    """
    if target.line is not None:
        return target.line.present(caller.address, caller.account, invite)
    if target.flow.transport == OVERLAY and caller.kind == "trunk":
        shown = caller.address.partition("@")[0]
        display = f"{caller.display} ({shown}) by telephone" if caller.display else f"{shown} by telephone"
        return NameAddr(display, SipUri.of_address(equipment.addresses.own[0])), ()
    if target.flow.transport == OVERLAY and caller.for_stranger:
        from_ = NameAddr(caller.display or caller.address, SipUri.of_address(caller.for_stranger))
        return from_, tuple(pair for pair in invite.headers if pair[0] in _OF_FORWARDING)
    return None
