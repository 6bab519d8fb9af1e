"""One call as a back-to-back user agent: the caller's leg, the legs that ring, and the one that answered.

Between two nodes the callee's node says 183 at once with its transport and an inactive audio line, so that ICE and DTLS run
while the phone rings; the 200 carries the same transport with the codecs that the phone chose. RFC 3261 §13, RFC 3264.
"""

from dataclasses import dataclass

import trio

from media.legs import Leg
from p2psip.base.errors import RemoteError
from p2psip.calls.answers import ALLOWED_METHODS, Failure, refuse
from p2psip.calls.call_log import CallRecord
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment, Party, name_of
from p2psip.calls.forking import Branch, Forking, Progress
from p2psip.calls.patch import EndWatch, Patch
from p2psip.calls.services import OFFER, answer_audio, open_service
from p2psip.calls.sides import Side
from p2psip.calls.talk import Ending, Talk
from p2psip.calls.targets import Router, Target
from p2psip.sip.build import MAX_FORWARDS, make_request, make_response
from p2psip.sip.dialog import Dialog, DialogId
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri

RING_SECONDS_MAX = 180.0
LATE_SECONDS_MAX = 36.0

_SDP = "application/sdp"
_PASSED_ON = ("Subject", "Referred-By")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the winning branch agreed to: `audio` is its answer, or its offer when the caller made none."""

    branch: Branch
    response: Response
    audio: Audio


class Call:
    """One INVITE of `caller` for `address`, until everything that followed from it is over.

    `end` is the media end of a caller that has none of its own (`p2psip/calls/standing_in.py`).
    """

    def __init__(
        self,
        equipment: Equipment,
        router: Router,
        exchange: ServerExchange,
        caller: Party,
        address: str,
        end: MediaEnd | None = None,
    ) -> None:
        self._equipment = equipment
        self._router = router
        self.exchange = exchange
        self.caller = caller
        self._address = address
        self._name = name_of(caller.flow, caller.account or "")
        self._tag = equipment.tag()
        self._contact = equipment.contact(address, caller.flow)
        self._stopped: Failure | None = None
        self._early: Audio | None = None
        self._said: set[int] = set()
        self._legs: list[MediaEnd | Leg] = []
        self._talk: Talk | None = None
        self._given_end = end
        self.decided = trio.Event()  # set once the call is answered, or has failed
        self.ringing_seconds_max = RING_SECONDS_MAX
        self.record: CallRecord = equipment.log.open(caller.address, address, equipment.clock.unix())
        self.patch = Patch(self.record, equipment.clock)

    async def run(self) -> None:
        """Serve the call from INVITE to the last BYE."""
        self._heard(f"INVITE {self.exchange.request.uri}")
        try:
            async with trio.open_nursery() as nursery:
                forking = Forking(self._equipment.sip, nursery, self._equipment.clock, self.record)
                self._forking = forking
                try:
                    await self._set_up(nursery)
                except RemoteError as error:
                    self._fail(Failure.of_error(error))
                forking.close(487, "the caller gave up")
                self._free()
                with trio.move_on_after(LATE_SECONDS_MAX):
                    await forking.wait_settled()
                nursery.cancel_scope.cancel()
        finally:
            self.decided.set()
            self._free()

    @property
    def dialog_id(self) -> DialogId:
        """The dialog with the caller, early or not."""
        return (self.exchange.request.call_id, self._tag, self.exchange.request.from_.tag or "")

    @property
    def talk(self) -> Talk | None:
        """The talk once the call is answered; after a transfer the one that followed."""
        while self._talk is not None and self._talk.ending is not None and self._talk.ending.successor is not None:
            self._talk = self._talk.ending.successor
        return self._talk

    def stop(self, failure: Failure) -> None:
        """End the call in whatever state it is."""
        if self.talk is not None:
            self.talk.end(Ending(failure.status, failure.words))
        elif self._stopped is None:
            self._stopped = failure
            self._forking.nudge()

    # Setting up

    async def _set_up(self, nursery: trio.Nursery) -> None:
        invite = self.exchange.request
        if invite.body and invite.content_type != _SDP:
            raise RemoteError("a call is described in application/sdp here", status=415)
        dialog = Dialog.of_server(invite, make_response(invite, 200, to_tag=self._tag), self._contact)
        end = self._given_end or self._equipment.media_end(self.caller.flow)
        self._legs.append(end)
        self._end = end
        offer = end.take(invite.body, is_offer=True) if invite.body else None
        service = self._address.partition("@")[0]
        if self._router.is_service(self._address, self.caller):
            await self._serve_locally(service, dialog, offer, nursery)
            return
        nursery.start_soon(self._search, offer, nursery)
        nursery.start_soon(self._watch_cancel)
        answered = await self._ring(offer)
        if answered is not None:
            await self._connect(answered, dialog, offer, nursery)

    async def _search(self, offer: Audio | None, nursery: trio.Nursery) -> None:
        """Ring this node's phones, then look for others in the overlay."""
        failure: Failure | None = None
        try:
            here = self._router.local(self._address, self.caller)
            if here and self.caller.is_node and offer is not None:
                transport_only = self._end.write(offer.with_direction("inactive"), is_offer=False)
                self._progress(183, "Session Progress", transport_only)
                nursery.start_soon(self._watch_caller)
            for target in here:
                self._ring_at(target, offer)
            if self._router.needs_lookup(self._address, self.caller, bool(here)):
                elsewhere, cost = await self._router.remote(self._address)
                self.record.hops, self.record.lookup_milliseconds = cost.hops, cost.milliseconds
                for target in elsewhere:
                    self._ring_at(target, offer)
            if not self._forking.branches:
                raise await self._router.why_nobody(self._address)
        except RemoteError as error:
            failure = Failure.of_error(error)
        self._forking.searched(failure)

    def _ring_at(self, target: Target, offer: Audio | None) -> None:
        try:
            end = self._equipment.media_end(target.flow)
        except RemoteError as error:
            self._forking.failures.append(Failure.of_error(error))
            return
        body = b"" if offer is None else end.write(offer, is_offer=True)
        contact = self._equipment.contact(self.caller.address, target.flow)
        self._legs.append(end)
        self._forking.ring(target, self._invitation(target, body, contact), end, contact)

    def _invitation(self, target: Target, body: bytes, contact: str) -> Request:
        hops = self.exchange.request.max_forwards
        headers = [("Contact", contact), ("Allow", ALLOWED_METHODS)]
        headers += [pair for pair in self.exchange.request.headers if pair[0] in _PASSED_ON]
        return make_request(
            "INVITE",
            target.uri,
            from_=self.caller.name_addr(self._equipment.tag()),
            to=NameAddr(None, SipUri.of_address(target.address)),
            call_id=self._equipment.call_id(),
            cseq=1,
            max_forwards=(MAX_FORWARDS if hops is None else hops) - 1,
            headers=headers,
            body=body,
            content_type=_SDP if body else None,
        )

    async def _watch_cancel(self) -> None:
        await self.exchange.cancelled.wait()
        self._heard("CANCEL")
        self.stop(Failure(487, "the caller gave up"))

    async def _watch_caller(self) -> None:
        """A caller whose node vanished cannot send CANCEL: its media path, set up while we ring, says so."""
        reason = await self._end.wait_lost()
        if self._talk is None:
            self.stop(Failure(503, f"the media path to {self._name} is lost: {reason}"))

    # Ringing

    async def _ring(self, offer: Audio | None) -> Answered | None:
        forking = self._forking
        winner: Progress | None = None
        with trio.move_on_after(self.ringing_seconds_max):
            while winner is None and self._stopped is None and not forking.is_hopeless:
                event = await forking.events.receive()
                if event.response is not None and event.response.status >= 200:
                    winner = event
                elif event.branch is not None and event.response is not None:
                    self._pass_progress(event.branch, event.response, offer)
        if winner is None or self._stopped is not None:
            self._dismiss_late_winner(winner)
            timeout = Failure(408, "nobody answered")
            self._fail(self._stopped or (forking.best_failure() if forking.is_hopeless else timeout))
            return None
        assert winner.branch is not None
        assert winner.response is not None
        return Answered(winner.branch, winner.response, self._answer_of(winner.branch, winner.response, offer))

    def _dismiss_late_winner(self, winner: Progress | None) -> None:
        if winner is not None and winner.branch is not None and winner.response is not None:
            self._forking.dismiss(winner.branch, winner.response, 487, "the caller gave up")

    def _pass_progress(self, branch: Branch, response: Response, offer: Audio | None) -> None:
        """Ringing goes on to the caller; early media only while a single place rings, since a caller can hear but one."""
        if response.status == 100:
            return
        single = len(self._forking.branches) == 1 and self._forking.is_searched
        if response.body and response.content_type == _SDP and offer is not None:
            audio = branch.end.take(response.body, is_offer=False)
            self._forking.watch(branch)
            if audio.direction == "inactive":
                return
            if single and audio.shares_codec(offer):
                self._early = audio
                self._join(branch.target.name, branch.end.leg, branch.end)
                self._progress(183, "Session Progress", self._end.write(audio, is_offer=False))
                return
        if response.status not in self._said or response.status == 180:
            self._progress(180 if response.status == 183 else response.status, response.reason, b"")

    def _progress(self, status: int, reason: str, body: bytes) -> None:
        if status in self._said and not body:
            return
        self._said.add(status)
        if self.record.rang is None and not (self.caller.is_node and status == 183):
            self.record.ring(self._equipment.clock.unix())
        self.exchange.respond(
            make_response(
                self.exchange.request,
                status,
                None if status == 180 else reason,
                to_tag=self._tag,
                headers=[("Contact", self._contact)],
                body=body,
                content_type=_SDP if body else None,
            )
        )
        self._said_to_caller(f"{status} {reason}")

    def _answer_of(self, branch: Branch, response: Response, offer: Audio | None) -> Audio:
        """The audio that the winner agreed to; RemoteError(488), and the winner is let go, if it is none."""
        try:
            if offer is not None and not response.body and self._early is not None:
                return self._early
            audio = branch.end.take(response.body, is_offer=offer is None)
            if offer is not None and not audio.shares_codec(offer):
                raise RemoteError("caller and callee share no codec", status=488)
        except RemoteError as error:
            self._forking.dismiss(branch, response, error.status, str(error))
            raise
        return audio

    # Connecting

    async def _connect(self, answered: Answered, dialog: Dialog, offer: Audio | None, nursery: trio.Nursery) -> None:
        branch, response = answered.branch, answered.response
        callee = Side(
            self._equipment,
            self.record,
            name=branch.target.name,
            flow=branch.target.flow,
            end=branch.end,
            dialog=Dialog.of_client(branch.request, response, branch.contact),
            owns_call_id=True,
        )
        callee.establish(response)
        if offer is not None:
            callee.acknowledge(branch.exchange, response)
        caller = self._caller_side(dialog)
        body = self._end.write(answered.audio, is_offer=offer is None)
        self._join(callee.name, branch.end.leg, branch.end)
        talk = self._talk = Talk(self._equipment, caller, callee)
        nursery.start_soon(self._accept, talk, body, None if offer is not None else answered, callee)
        await self._talk_until_over(talk, caller, callee)

    async def _accept(self, talk: Talk, body: bytes, late: Answered | None, callee: Side | None) -> None:
        """200 to the caller, until its ACK; with a late offer the answer is in that ACK and goes on to the callee."""
        self._note_answered()
        response = make_response(
            self.exchange.request,
            200,
            to_tag=self._tag,
            headers=[("Contact", self._contact), ("Allow", ALLOWED_METHODS)],
            body=body,
            content_type=_SDP,
        )
        answer = b""
        try:
            ack = await self.exchange.accept(response)
            self._heard("ACK")
            if late is not None:
                answer = late.branch.end.write(self._end.take(ack.body, is_offer=False), is_offer=False)
        except RemoteError as error:
            talk.end(Ending(error.status, str(error)))
        if late is not None and callee is not None:
            callee.acknowledge(late.branch.exchange, late.response, answer)
        talk.confirmed.set()

    async def _serve_locally(self, kind: str, dialog: Dialog, offer: Audio | None, nursery: trio.Nursery) -> None:
        audio = OFFER if offer is None else answer_audio(offer)
        leg = open_service(kind, audio, self._equipment.clock, self._equipment.chance, nursery)
        self._legs.append(leg)
        caller = self._caller_side(dialog)
        self._join(f"service {kind}", leg, None)
        talk = self._talk = Talk(self._equipment, caller, None)
        nursery.start_soon(self._accept_service, talk, audio, offer is None)
        await self._talk_until_over(talk, caller, None)

    async def _accept_service(self, talk: Talk, audio: Audio, is_offer: bool) -> None:
        await self._accept(talk, self._end.write(audio, is_offer=is_offer), None, None)

    async def _talk_until_over(self, talk: Talk, caller: Side, callee: Side | None) -> None:
        self.decided.set()
        try:
            ending = await talk.run()
            while ending.successor is not None:  # a transfer has put somebody else in one place
                talk = ending.successor
                ending = await talk.run()
            self.patch.note_facts()
            self.record.end(self._equipment.clock.unix(), ending.status, ending.words)
            if ending.lent is None:
                self._free()
            await talk.say_goodbye(ending)
            if ending.lent is not None:
                await ending.lent.returned.wait()
        finally:
            talk.give_back()
            for side in (caller, callee):
                if side is not None:
                    side.close()

    # What the parts above share

    def _caller_side(self, dialog: Dialog) -> Side:
        return Side(self._equipment, self.record, name=self._name, flow=self.caller.flow, end=self._end, dialog=dialog)

    def _join(self, name: str, leg: Leg, end: MediaEnd | None) -> None:
        clock = self._equipment.clock
        self.patch.join(EndWatch(self._name, self._end.leg, self._end, clock), EndWatch(name, leg, end, clock))

    def _free(self) -> None:
        self.patch.part()
        for each in self._legs:
            each.close()
        self._legs.clear()

    def _note_answered(self) -> None:
        self.record.answer(self._equipment.clock.unix())
        self.patch.note_answered()
        self._said_to_caller("200 OK")

    def _fail(self, failure: Failure) -> None:
        self.patch.note_facts()
        self.record.end(self._equipment.clock.unix(), failure.status, failure.words)
        if not self.exchange.answered:
            host = self._equipment.settings.overlay
            response = refuse(self.exchange.request, failure, host, to_tag=self._tag)
            self.exchange.respond(response)
            self._said_to_caller(f"{response.status} {response.reason}")

    def _heard(self, summary: str) -> None:
        self.record.step(self._equipment.clock.unix(), self._name, "this node", summary)

    def _said_to_caller(self, summary: str) -> None:
        self.record.step(self._equipment.clock.unix(), "this node", self._name, summary)
