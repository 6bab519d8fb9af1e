"""One call as a back-to-back user agent: the caller's leg, the legs that ring, and the one that answered.

Between two nodes the callee's node says 183 at once with its transport and an inactive audio line, so that ICE and DTLS run
while the phone rings; the 200 carries the same transport with the codecs that the phone chose. RFC 3261 §13, RFC 3264.
"""

from dataclasses import dataclass
from functools import partial

import trio

from media.legs import Leg
from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.call_log import CallRecord
from p2psip.calls.caller import CallerLeg
from p2psip.calls.changes import fitting
from p2psip.calls.descriptions import Audio
from p2psip.calls.early import EarlyRequests
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment, Party
from p2psip.calls.forking import Branch, Forking, Progress
from p2psip.calls.hearing import Hearing
from p2psip.calls.invitations import Invitations
from p2psip.calls.patch import EndWatch, Patch
from p2psip.calls.pressing import with_events
from p2psip.calls.redirects import Redirects
from p2psip.calls.searching import Searching, offered
from p2psip.calls.services import OFFER, answer_audio, open_service
from p2psip.calls.session_timer import SessionTimer
from p2psip.calls.sides import SDP, Side
from p2psip.calls.talk import Ending, Talk
from p2psip.calls.targets import Router, Target
from p2psip.sip.dialog import DialogId
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import OVERLAY
from p2psip.sip.message import Response

RING_SECONDS_MAX = 180.0
LATE_SECONDS_MAX = 36.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What the winning branch agreed to: `audio` is its answer, or its offer when the caller made none.

    `is_settled`: nothing is left to be described in the 200 and its ACK; all was, reliably, while it rang.
    """

    branch: Branch
    response: Response
    audio: Audio
    is_settled: bool = False


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
        self._stopped: Failure | None = None
        self._patience = trio.CancelScope()
        self._legs: list[MediaEnd | Leg] = []
        self._talk: Talk | None = None
        self._searches: list[Searching] = []
        self._is_transport_told = False
        self._given_end = end
        self.decided = trio.Event()  # set once the call is answered, or has failed
        self.ringing_seconds_max = RING_SECONDS_MAX
        self.record: CallRecord = equipment.log.open(caller.address, address, equipment.clock.unix())
        self.patch = Patch(self.record, equipment.clock)
        self._leg = CallerLeg(equipment, self.record, exchange, caller, address)
        self._invitations = Invitations(equipment, exchange.request, caller)

    async def run(self) -> None:
        """Serve the call from INVITE to the last BYE."""
        self._leg.note_heard(f"INVITE {self.exchange.request.uri}")
        try:
            async with trio.open_nursery() as nursery:
                forking = self._forking = Forking(self._equipment, nursery, self.record, self._serve_early)
                try:
                    await self._set_up(nursery)
                except RemoteError as error:
                    self._fail(Failure.of_error(error))
                forking.close(487, "the caller gave up", self.exchange.cancel_reason)
                self._free()
                with trio.move_on_after(LATE_SECONDS_MAX):
                    await forking.wait_settled()
                self._close_dialogs()
                nursery.cancel_scope.cancel()
        finally:
            self.decided.set()
            self._let_go()

    @property
    def has_gone_out(self) -> bool:
        """Whether somebody outside of the overlay has answered."""
        return any(searching.has_gone_out for searching in self._searches)

    @property
    def dialog_id(self) -> DialogId:
        """The dialog with the caller, early or not."""
        return self._leg.dialog_id

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
            self._patience.cancel()
            self._forking.nudge()

    def _cut(self, failure: Failure) -> None:
        """A trunk gives no more time: end the call that stands, or the one that a side of it was lent to."""
        talk = self.talk
        if talk is not None and talk.ending is not None and talk.ending.lent is not None:
            if talk.ending.lent.recall is not None:
                talk.ending.lent.recall(failure.status, failure.words)
        else:
            self.stop(failure)

    # Setting up

    async def _set_up(self, nursery: trio.Nursery) -> None:
        invite = self.exchange.request
        if invite.body and invite.content_type != SDP:
            raise RemoteError("a call is described in application/sdp here", status=415)
        end = self._given_end or self._equipment.media_end(self.caller.flow, self.caller.line, invite.body)
        self._end = end
        self._legs.append(end)
        side = self._leg.open(end)
        offer = end.take(invite.body, is_offer=True) if invite.body else None
        if self._router.is_service(self._address, self.caller):
            await self._serve_locally(self._address.partition("@")[0], offer, nursery)
            return
        self._hearing = Hearing(self._leg, end, self._forking, offer, self._hear, self.stop)
        self._early = EarlyRequests(self._equipment, self._hearing, nursery)
        self._early.begin(side)
        if self._leg.provisionals.possible:
            nursery.start_soon(self._send_provisionals)
        self._begin_search(offer, nursery)
        self.exchange.when_cancelled(self._take_cancel)
        answered = await self._ring(offer)
        if answered is not None:
            await self._connect(answered, offer, nursery)

    def _begin_search(self, offer: Audio | None, nursery: trio.Nursery) -> None:
        searching = Searching(
            self._equipment,
            self._router,
            self._forking,
            self.exchange.request,
            self.caller,
            self._address,
            self.record,
            lambda target, alone: self._ring_at(offer, target, alone, self._invitations),
            lambda: self._tell_transport(offer, nursery),
        )
        ring = partial(self._ring_at, offer)
        redirects = Redirects(
            self._equipment, self._router, self._forking, nursery, self.exchange.request, self.caller, self.record, ring
        )
        self._forking.on_redirect = redirects.take
        self._searches = redirects.searches
        self._searches.append(searching)
        nursery.start_soon(searching.run)

    def _tell_transport(self, offer: Audio | None, nursery: trio.Nursery) -> None:
        """A calling node hears of our transport before anybody answers, and once."""
        if self.caller.is_node and offer is not None and not self._is_transport_told:
            self._is_transport_told = True
            transport_only = self._end.write(offer.with_direction("inactive"), is_offer=False)
            self._leg.progress(183, "Session Progress", transport_only)
            nursery.start_soon(self._watch_caller)

    def _ring_at(self, offer: Audio | None, target: Target, alone: bool, invitations: Invitations) -> Branch | None:
        """Ring one place. Without an offer only a single one may describe itself before the answer: a caller takes one offer."""
        try:
            end = self._equipment.media_end(target.flow, target.line)
        except RemoteError as error:
            self._forking.failures.append(Failure.of_error(error))
            return None
        self._legs.append(end)
        body = b"" if offer is None else end.write(offered(offer, target), is_offer=True)
        reliable = bool(body) or (alone and self._leg.provisionals.possible)
        timer = SessionTimer(self._equipment.settings.session_seconds)
        request = invitations.make(target, body, timer, reliable=reliable and target.flow.transport != OVERLAY)
        return self._forking.ring(target, request, end, request.headers.get("Contact") or "", timer)

    def _serve_early(self, side: Side) -> None:
        self._early.begin(side)

    async def _send_provisionals(self) -> None:
        try:
            await self._leg.provisionals.run()
        except RemoteError as error:
            self.stop(Failure.of_error(error))

    def _take_cancel(self) -> None:
        self._leg.note_heard("CANCEL")
        self.stop(Failure(487, "the caller gave up"))

    async def _watch_caller(self) -> None:
        """A caller whose node vanished cannot send CANCEL: its media path, set up while we ring, says so."""
        reason = await self._end.wait_lost()
        if self._talk is None:
            self.stop(Failure(503, f"the media path to {self._leg.name} is lost: {reason}"))

    # Ringing

    async def _ring(self, offer: Audio | None) -> Answered | None:
        forking = self._forking
        winner: Progress | None = None
        with trio.move_on_after(self.ringing_seconds_max):
            while winner is None and self._stopped is None and not forking.is_hopeless:
                event = await forking.events.receive()
                if event.response is not None and event.response.status >= 200:
                    winner = event
                else:
                    self._hearing.take(event)
        if winner is not None and self._stopped is None:
            with self._patience:
                await self._leg.wait_acknowledged()
        if winner is None or self._stopped is not None:
            self._dismiss_late_winner(winner)
            timeout = Failure(408, "nobody answered")
            failure = self._stopped or (forking.best_failure() if forking.is_hopeless else timeout)
            await self._announce(offer)
            self._fail(self._stopped if self._stopped is not None and self._stopped.status == 487 else failure)
            return None
        assert winner.branch is not None
        assert winner.response is not None
        return self._answer_of(winner.branch, winner.response, offer)

    async def _announce(self, offer: Audio | None) -> None:
        """Let a phone of ours hear that its call for help has failed; CANCEL and BYE end that."""
        is_ours = self.caller.kind == "phone" and not self.caller.serves_stranger and self._given_end is None
        if is_ours and self._searches[0].is_for_help and self._forking.is_hopeless and self._stopped is None:
            self.patch.part()
            with self._patience:
                await self._equipment.announcing.play(self._leg, self._end, offer, self._hearing.told)

    def _dismiss_late_winner(self, winner: Progress | None) -> None:
        if winner is not None and winner.branch is not None and winner.response is not None:
            self._forking.dismiss(winner.branch, winner.response, 487, "the caller gave up")

    def _hear(self, branch: Branch) -> None:
        self._join(branch.target.name, branch.end.leg, branch.end)

    def _answer_of(self, branch: Branch, response: Response, offer: Audio | None) -> Answered:
        """What the winner agreed to; RemoteError(488), and the winner is let go, if it is nothing that can be used."""
        is_heard = branch.early is not None and branch.early_tag == response.to.tag
        try:
            if branch.early is not None and is_heard and (branch.agreed or (offer is not None and not response.body)):
                said = branch.early if offer is None else fitting(branch.end.heard or branch.early, offer)
                return Answered(branch, response, said, is_settled=branch.agreed and offer is None)
            if offer is None and self._leg.provisionals.answered:
                raise RemoteError("another phone has answered than the one whose offer was taken", status=488)
            audio = branch.end.take(response.body, is_offer=offer is None)
            if offer is not None and not audio.shares_codec(offer):
                raise RemoteError("caller and callee share no codec", status=488)
        except RemoteError as error:
            self._forking.dismiss(branch, response, error.status, str(error))
            raise
        return Answered(branch, response, audio)

    # Connecting

    async def _connect(self, answered: Answered, offer: Audio | None, nursery: trio.Nursery) -> None:
        branch, response = answered.branch, answered.response
        callee, caller = self._forking.side_of(branch, response), self._leg.side
        late = answered if offer is None and not answered.is_settled else None
        if late is None:
            callee.acknowledge(branch.exchange, response)
        self._early.close()
        self._forking.close_dialogs(but=callee)
        is_described = self._leg.provisionals.answered
        audio = answered.audio if offer is None else with_events(answered.audio, offer, callee)
        body = b"" if is_described else self._end.write(audio, is_offer=offer is None)
        self._early.tell_caller |= is_described and offer is not None and self._hearing.told != audio
        self._join(callee.name, branch.end.leg, branch.end)
        talk = self._talk = Talk(self._equipment, caller, callee)
        talk.awaits_answer = late is not None
        for searching in self._searches:
            if searching.lines:
                nursery.start_soon(searching.limit, self._cut)
        nursery.start_soon(self._accept, talk, body, late, callee)
        await self._talk_until_over(talk, caller, callee)

    async def _accept(self, talk: Talk, body: bytes, late: Answered | None, callee: Side | None) -> None:
        """200 to the caller, until its ACK; with a late offer the answer is in that ACK and goes on to the callee."""
        self._note_answered()
        answer = b""
        try:
            said = await self._leg.accept(body)
            if late is not None:
                audio = fitting(self._end.take(said, is_offer=False), late.audio)
                answer = late.branch.end.write(audio, is_offer=False)
        except RemoteError as error:
            talk.end(Ending(error.status, str(error)))
        if late is not None and callee is not None:
            callee.acknowledge(late.branch.exchange, late.response, answer)
        talk.confirmed.set()
        if callee is not None:
            await talk.settle(tell_caller=self._early.tell_caller, tell_callee=self._early.tell_callee)

    async def _serve_locally(self, kind: str, offer: Audio | None, nursery: trio.Nursery) -> None:
        audio = OFFER if offer is None else answer_audio(offer)
        leg = open_service(kind, audio, self._equipment.clock, self._equipment.chance, nursery)
        self._legs.append(leg)
        caller = self._leg.side
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
            if ending.by is not None:
                ending.by.close()
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

    def _join(self, name: str, leg: Leg, end: MediaEnd | None) -> None:
        clock = self._equipment.clock
        self.patch.join(EndWatch(self._leg.name, self._end.leg, self._end, clock), EndWatch(name, leg, end, clock))

    def _close_dialogs(self) -> None:
        self._forking.leave()
        self._leg.close()

    def _let_go(self) -> None:
        """All is over. What calls back into this object is forgotten, so that no collection of garbage must find it."""
        self._close_dialogs()
        self._free()
        self.exchange.when_cancelled(None)
        self._searches.clear()
        for part in ("_forking", "_hearing", "_early"):
            vars(self).pop(part, None)

    def _free(self) -> None:
        self.patch.part()
        for each in self._legs:
            each.close()
        self._legs.clear()
        for searching in self._searches:
            searching.close()

    def _note_answered(self) -> None:
        self.record.answer(self._equipment.clock.unix())
        self.patch.note_answered()
        self._leg.note_said("200 OK")

    def _fail(self, failure: Failure) -> None:
        self.patch.note_facts()
        self.record.end(self._equipment.clock.unix(), failure.status, failure.words)
        self._leg.refuse(failure)
