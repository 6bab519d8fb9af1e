"""Redirections (3xx) by phones of this node: call forwarding, as far as the node allows it.

Nothing is followed unless its target matches a pattern of `[calls] redirects`, and then only as a call of the phone that
redirects: its rights, the dial plan and the caps of trunks count, as if it had dialled the target. A stranger of the open SIP
world is led to people of the overlay only, for others cost money or go out in our name. What other nodes, providers
and the world outside redirect is never followed here; nodes follow for their own phones and pass no 3xx on.
RFC 3261 §8.1.3.4 (3xx, q values), RFC 7044 (History-Info, which ends loops), RFC 5806 (Diversion, which phones show).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.equipment import Equipment, Party
from p2psip.calls.forking import Branch, Forking
from p2psip.calls.invitations import Invitations
from p2psip.calls.searching import Costs, Searching
from p2psip.calls.targets import Router, Target
from p2psip.sip.build import MAX_FORWARDS
from p2psip.sip.grammar import format_parameters
from p2psip.sip.headers import NameAddr, parse_name_addrs
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

CONTACTS_MAX = 8
REDIRECTIONS_PER_CALL_MAX = 8
HISTORY_MAX = 8

_FOLLOWED = (300, 301, 302)
_REASONS = {300: "deflection", 301: "unconditional", 302: "unconditional"}

RingAs = Callable[[Target, bool, Invitations], Branch | None]


class Redirects:
    """Follows the redirections of one call. `caller` called with `invite`; `ring` calls one place more."""

    def __init__(
        self,
        equipment: Equipment,
        router: Router,
        forking: Forking,
        nursery: trio.Nursery,
        invite: Request,
        caller: Party,
        record: Costs,
        ring: RingAs,
    ) -> None:
        self._equipment = equipment
        self._router = router
        self._forking = forking
        self._nursery = nursery
        self._invite = invite
        self._caller = caller
        self._record = record
        self._ring = ring
        self._followed = 0
        self._origins: dict[int, Request] = {}
        self.searches: list[Searching] = []

    def take(self, branch: Branch, response: Response) -> Failure | None:
        """A place answers 3xx: follow it if that is allowed. The failure of the place itself; None when it is no phone of ours."""
        binding = self._router.binding_of(branch.target)
        if binding is None:
            return None
        shown = self._caller.display or self._caller.address
        display = f"{shown} via {binding.address.partition('@')[0]}"
        stranger = self._caller.stranger
        party = Party(binding.address, display, branch.target.flow, binding.account, for_stranger=stranger)
        try:
            groups = self._groups(branch, response, party)
        except RemoteError as error:
            self._note_refused(party, str(error))
            return Failure.of_error(error)
        self._followed += 1
        self._forking.pending += 1
        self._nursery.start_soon(self._follow, party, groups)
        return Failure(480, "the phone redirects its calls")

    def _groups(self, branch: Branch, response: Response, party: Party) -> list[list[Request]]:
        """The INVITEs to try, those of equal q at once; RemoteError when none may be."""
        if response.status not in _FOLLOWED:
            raise RemoteError("the phone redirects its calls in a way that is not followed", status=480)
        if not self._equipment.settings.redirects:
            raise RemoteError("the phone redirects its calls, which this node does not allow", status=480)
        invite = self._origins.get(id(branch), self._invite)
        hops = (MAX_FORWARDS if invite.max_forwards is None else invite.max_forwards) - 1
        if self._followed >= REDIRECTIONS_PER_CALL_MAX or hops <= 0:
            raise RemoteError("the call was redirected too often", status=483)
        contacts = sorted(response.contacts[:CONTACTS_MAX], key=_quality, reverse=True)
        groups = [
            [self._redirected(invite, each, party, response.status, hops) for each in group]
            for _quality_of_group, group in groupby(contacts, _quality)
        ]
        if not groups:
            raise RemoteError("the phone redirects its calls to nowhere", status=480)
        return groups

    def _redirected(self, invite: Request, contact: NameAddr, party: Party, status: int, hops: int) -> Request:
        uri = contact.uri if isinstance(contact.uri, OtherUri) else replace(contact.uri, headers=())
        request = Request(invite.method, uri, invite.headers.copy(), invite.body)
        request.headers.set("Max-Forwards", str(hops))
        address = self._router.address_of(request, party)
        patterns = self._equipment.settings.redirects
        if not is_allowed(address, patterns, self._equipment.settings.overlay):
            raise RemoteError(f"calls may not be redirected to {address} here", status=403)
        target = SipUri.of_address(address)
        history = parse_name_addrs(invite.headers.all("History-Info"))
        request.headers.set("History-Info", _history(history, party.address, target, status))
        diversion = f"<sip:{party.address}>;reason={_REASONS[status]};counter={max(1, len(history))}"
        request.headers.insert_first("Diversion", diversion)
        return request

    async def _follow(self, party: Party, groups: list[list[Request]]) -> None:
        forking = self._forking
        try:
            for group in groups:
                before = len(forking.branches)
                for request in group:
                    await self._search(party, request)
                for branch in forking.branches[before:]:
                    await branch.decided.wait()
                if forking.winner is not None or forking.is_closed:
                    return
        finally:
            forking.pending -= 1
            forking.nudge()

    async def _search(self, party: Party, request: Request) -> None:
        invitations = Invitations(self._equipment, request, party, is_diverted=True)

        def ring(target: Target, alone: bool) -> Branch | None:
            branch = self._ring(target, alone, invitations)
            if branch is not None:
                self._origins[id(branch)] = request
            return branch

        address, before = self._router.address_of(request, party), len(self._forking.branches)
        searching = Searching(
            self._equipment,
            self._router,
            self._forking,
            request,
            party,
            address,
            self._record,
            ring,
            lambda: None,
        )
        self.searches.append(searching)
        failure = await searching.search()
        if failure is None and len(self._forking.branches) == before:
            failure = Failure.of_error(await self._router.why_nobody(address))
        if failure is not None:
            self._forking.failures.append(failure)

    def _note_refused(self, party: Party, words: str) -> None:
        self._equipment.incidents.note("redirect refused", party.address, words, self._equipment.clock.unix())


def is_allowed(address: str, patterns: Sequence[str], overlay: str) -> bool:
    """Whether one of `patterns` fits: of a whole address (`*@home.example`), or of a user part or number here (`+49*`)."""
    user, _, host = address.partition("@")
    return any(
        fnmatchcase(address, _plain(pattern))
        if "@" in pattern
        else host == overlay and fnmatchcase(user, _plain(pattern))
        for pattern in patterns
    )


def _plain(pattern: str) -> str:
    """`*` and `?` only: brackets stand for themselves."""
    return pattern.lower().replace("[", "[[]")


def _quality(contact: NameAddr) -> float:
    """The q of a Contact (RFC 3261 §20.10); 1 without one, 0 for one that cannot be read."""
    text = contact.parameter("q")
    if text is None:
        return 1.0
    whole, _, rest = text.partition(".")
    if whole not in ("0", "1", "") or not (rest == "" or (rest.isascii() and rest.isdigit() and len(rest) <= 3)):
        return 0.0
    return min(1.0, float(f"{whole or '0'}.{rest or '0'}"))


def _history(entries: tuple[NameAddr, ...], address: str, target: SipUri, status: int) -> str:
    """History-Info with one entry more (RFC 7044 §10.2); RemoteError(482) for a loop, 483 when it is too long."""
    entries = entries or (NameAddr(None, SipUri.of_address(address), (("index", "1"),)),)
    if len(entries) >= HISTORY_MAX:
        raise RemoteError("the call was redirected too often", status=483)
    known = {each.uri.address for each in entries if isinstance(each.uri, SipUri)} | {address}
    if target.address in known:
        raise RemoteError(f"the call has been at {target.address} already", status=482)
    last = entries[-1]
    index = last.parameter("index") or str(len(entries))
    reason = (("Reason", f"SIP%3Bcause%3D{status}"),)
    if isinstance(last.uri, SipUri):
        last = replace(last, uri=replace(last.uri, headers=reason))
    new = NameAddr(None, target, (("index", f"{index}.1"), ("mp", index)))
    return ", ".join(f"<{each.uri}>{format_parameters(each.parameters)}" for each in (*entries[:-1], last, new))
