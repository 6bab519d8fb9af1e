"""Transfer of calls (RFC 5589) by the node of the phone that asks for it.

The node never passes a REFER on. It places the new call itself, as if the phone had dialled it, and then changes places in the
call that stands: who is transferred hears a re-INVITE and need not know REFER or Replaces, nor does their node or provider.
So nobody calls at the expense of others: what a REFER asks for is allowed exactly if the phone could call it, and a stranger of
the open SIP world is led to people of the overlay only.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol
from weakref import WeakKeyDictionary

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.call import Call
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment, Party, name_of
from p2psip.calls.loans import Loan
from p2psip.calls.referral import Referral, Reports
from p2psip.calls.rejoining import Change, ask_anew, offer_anew, put_in_place, see_off
from p2psip.calls.replacing import Standing, find_standing
from p2psip.calls.services import OFFER
from p2psip.calls.sides import Side
from p2psip.calls.standing_in import QuietEnd, StandIn, invitation
from p2psip.calls.talk import Ending, Talk
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Response
from p2psip.sip.uri import OtherUri, SipUri

TRANSFERS_PER_CALL_MAX = 16


_NO_COMMON_CODEC = (415, 488, 606)


class Host(Protocol):
    """What transfers need of the server of calls."""

    @property
    def standing(self) -> Iterable[Call]:
        """All calls of this node."""

    async def sender(self, exchange: ServerExchange) -> Party | None:
        """Who sent a request, proved; None when it was answered."""

    async def place(self, exchange: ServerExchange, sender: Party, end: MediaEnd) -> None:
        """Carry a call to its end, with the media end of its caller."""

    def person_of(self, side: Side) -> str | None:
        """The address of the person whose phone of this node `side` is."""


class Transfers:
    """Serves REFER within calls."""

    def __init__(self, equipment: Equipment, host: Host) -> None:
        self._equipment = equipment
        self._host = host
        self._referred: WeakKeyDictionary[Side, int] = WeakKeyDictionary()

    async def serve(self, exchange: ServerExchange) -> None:
        """Answer a REFER and see the transfer to its end."""
        request = exchange.request
        sender = await self._host.sender(exchange)
        if sender is None:
            return
        if sender.kind != "phone":
            raise RemoteError("only phones of this node transfer calls here", status=403)
        referral = Referral.of_request(request)
        dialog_id = (request.call_id, request.to.tag or "", request.from_.tag or "")
        found = find_standing(self._host.standing, dialog_id)
        if found is None or found.side is None:
            raise RemoteError("there is no such call", status=481)
        transfer = Transfer(self._equipment, self._host, found.call, found.side, sender, referral)
        transfer.check()
        reports = self._accept(exchange, found.side, referral)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reports.run)
            await transfer.run(reports)

    def _accept(self, exchange: ServerExchange, side: Side, referral: Referral) -> Reports:
        headers = [("Contact", side.dialog.contact)]
        if not referral.wants_reports:
            headers.append(("Refer-Sub", "false"))
        exchange.respond(make_response(exchange.request, 202, headers=headers))
        side.note_said("202 Accepted")
        number = self._referred[side] = self._referred.get(side, 0) + 1
        event = "refer" if number == 1 else f"refer;id={exchange.request.cseq.number}"
        return Reports(
            lambda method, more, body, kind: side.send(method, headers=more, body=body, content_type=kind),
            event,
            is_wanted=referral.wants_reports,
        )


class Transfer:
    """One transfer: `leaves` asks that `stays`, the other side of `call`, be joined with somebody else."""

    def __init__(
        self, equipment: Equipment, host: Host, call: Call, leaves: Side, sender: Party, referral: Referral
    ) -> None:
        talk = call.talk
        assert talk is not None
        self._equipment = equipment
        self._host = host
        self._call = call
        self._talk: Talk = talk
        self._leaves = leaves
        self._sender = replace(sender, for_stranger=call.caller.stranger)
        self._referral = referral
        self._outcome: Failure | None = None
        self._settled = trio.Event()

    def check(self) -> None:
        """RemoteError when this phone may not transfer this call, or not now."""
        if self._leaves.name != name_of(self._sender.flow, self._sender.account or ""):
            raise RemoteError("this call belongs to somebody else", status=403)
        if self._talk.other(self._leaves) is None:
            raise RemoteError("nobody is here to be transferred", status=403)
        if self._talk.leaver is not None:
            raise RemoteError("this call is being transferred already", status=491)
        if len(self._talk.borrowed) >= TRANSFERS_PER_CALL_MAX:
            raise RemoteError("this call was transferred too often", status=403)

    async def run(self, reports: Reports) -> None:
        """See the transfer to its end, and the new call too: it keeps what was lent."""
        self._reports = reports
        self._talk.leaver = self._leaves
        reports.tell(100)
        async with trio.open_nursery() as nursery:
            try:
                if self._referral.replaces is None:
                    await self._call_target(self._referral.target, nursery)
                else:
                    await self._replace(nursery)
            except RemoteError as error:
                self._settle(Failure.of_error(error))
            await self._settled.wait()
            await self._conclude()

    def _settle(self, outcome: Failure) -> None:
        if self._outcome is None:
            self._outcome = outcome
            self._reports.tell(outcome.status)
            self._settled.set()

    async def _conclude(self) -> None:
        assert self._outcome is not None
        if self._outcome.status < 300:
            await see_off(self._talk, self._leaves)
            return
        self._talk.leaver = None
        if self._talk.left.is_set():
            words = f"the transfer failed: {self._outcome.words}" if self._outcome.words else "the transfer failed"
            self._talk.end(Ending(self._outcome.status, words, by=self._leaves))

    # A new call (RFC 5589 §6)

    async def _call_target(self, target: SipUri | OtherUri, nursery: trio.Nursery) -> None:
        """Call the target with what was heard last of who stays; if that is too little for it, once more with all they can."""
        attempt = await self._try_target(target, self._audio, nursery)
        if attempt.is_refused and self._talk.ending is None:
            more = await self._ask_for_more()
            if more is not None:
                attempt = await self._try_target(target, more, nursery)
        assert attempt.outcome is not None
        self._settle(attempt.outcome)

    async def _try_target(self, target: SipUri | OtherUri, audio: Audio, nursery: trio.Nursery) -> "_Attempt":
        end, attempt = QuietEnd(self._equipment, audio), _Attempt()
        referred_by = ("Referred-By", f"<sip:{self._sender.address}>")
        request = invitation(self._equipment, self._sender, target, end.offer(), [referred_by])

        def told(response: Response) -> None:
            if 100 < response.status < 200:
                self._reports.tell(response.status, response.reason)
            elif response.status >= 200:
                attempt.is_refused = response.status in _NO_COMMON_CODEC
                attempt.settle(Failure(response.status, response.warning))

        stand_in = StandIn(request, self._sender, told, lambda: self._answered(stand_in, end, attempt))
        nursery.start_soon(self._place, stand_in, end, attempt)
        nursery.start_soon(self._give_up_with_call, stand_in, attempt)
        await attempt.settled.wait()
        return attempt

    async def _place(self, stand_in: StandIn, end: QuietEnd, attempt: "_Attempt") -> None:
        try:
            await self._host.place(stand_in, self._sender, end)
            attempt.settle(Failure(480, "the target hung up before it was connected"))  # unless it was told before
        except RemoteError as error:
            attempt.settle(Failure.of_error(error))

    async def _give_up_with_call(self, stand_in: StandIn, attempt: "_Attempt") -> None:
        """Ring no longer once whoever is transferred has hung up."""
        await self._talk.wait_over()
        if attempt.outcome is None:
            stand_in.cancel()

    async def _answered(self, stand_in: StandIn, end: QuietEnd, attempt: "_Attempt") -> None:
        """The target has answered: agree on media with who is transferred, then change places."""
        new = next(call for call in self._host.standing if call.exchange is stand_in)
        talk = new.talk
        assert talk is not None
        try:
            if talk.callee is None:
                raise RemoteError("a service of this node is no target of a transfer", status=403)
            assert end.answer is not None
            async with Change(self._talk):
                await offer_anew(self._equipment, self._stays, end.answer)
            self._join(new, talk, talk.callee, by=talk.caller)
        except RemoteError as error:
            talk.end(Ending(error.status, str(error), by=talk.caller))
            attempt.settle(Failure.of_error(error))
            raise

    async def _ask_for_more(self) -> Audio | None:
        """All that who stays can do; None when that is nothing new, or they do not say."""
        before = self._audio
        try:
            async with Change(self._talk):
                audio = (await ask_anew(self._stays)).with_direction("sendrecv")
        except RemoteError:
            return None
        return audio if set(audio.formats) - set(before.formats) else None

    # A call that stands already (RFC 5589 §7)

    async def _replace(self, nursery: trio.Nursery) -> None:
        assert self._referral.replaces is not None
        found = find_standing(self._host.standing, self._referral.replaces.dialog_id)
        if found is None or found.call is self._call or not self._may_replace(found):
            raise RemoteError("there is no such call to replace", status=481)
        self._check_cost(found.call)
        if found.side is not None and self._referral.replaces.early_only:
            raise RemoteError("the call to replace is answered already", status=486)
        if found.side is None:
            await self._wait_answered(found.call)
            again = find_standing(self._host.standing, self._referral.replaces.dialog_id)
            if again is None:
                await self._call_target(self._referral.target, nursery)
                return
            found = again
        assert found.side is not None
        self._check_cost(found.call)
        await self._join_standing(found.call, found.side)

    def _check_cost(self, other: Call) -> None:
        """RemoteError(403) where a caller from the open world would be joined with somebody outside."""
        for one, another in ((self._call, other), (other, self._call)):
            if one.caller.serves_stranger and another.has_gone_out:
                raise RemoteError("callers from the open world are led on to people of this overlay only", status=403)

    def _may_replace(self, found: Standing) -> bool:
        person = found.call.caller.address if found.side is None else self._host.person_of(found.side)
        return person == self._sender.address

    async def _wait_answered(self, call: Call) -> None:
        """The target rings still (§7.6): it goes on to ring, and the phone's own call to it is answered first."""
        self._reports.tell(180)
        await call.decided.wait()
        if call.talk is None and call.record.status not in (None, 487):
            raise RemoteError(call.record.cause, status=call.record.status or 480)

    async def _join_standing(self, other: Call, replaced: Side) -> None:
        talk = other.talk
        assert talk is not None
        target = talk.other(replaced)
        if target is None or talk.leaver is not None:
            raise RemoteError("this call can not be joined with another one now", status=488)
        if self._talk.ending is not None:
            raise RemoteError("the call was over before it could be transferred", status=487)
        async with Change(self._talk), Change(talk):
            answer = await self._offer_to(target)
            try:
                await offer_anew(self._equipment, self._stays, answer)
            except RemoteError:
                await self._back_to(replaced, target)
                raise
        self._join(other, talk, target)
        self._settle(Failure(200))

    async def _offer_to(self, target: Side) -> Audio:
        """What the target answers to who stays; asked once more with all that these can when it is too little."""
        try:
            return await offer_anew(self._equipment, target, self._audio)
        except RemoteError as error:
            if error.status not in _NO_COMMON_CODEC:
                raise
        return await offer_anew(self._equipment, target, (await ask_anew(self._stays)).with_direction("sendrecv"))

    async def _back_to(self, replaced: Side, target: Side) -> None:
        if replaced.end.heard is not None:
            await offer_anew(self._equipment, target, replaced.end.heard)

    # What both kinds share

    @property
    def _stays(self) -> Side:
        stays = self._talk.other(self._leaves)
        assert stays is not None
        return stays

    @property
    def _audio(self) -> Audio:
        """What the side that stays can do, with any hold taken back."""
        return (self._stays.end.heard or OFFER).with_direction("sendrecv")

    def _join(self, lender: Call, talk: Talk, target: Side, by: Side | None = None) -> None:
        """`target`, in `talk` of the call `lender`, takes the place of who leaves; RemoteError(487) when it is too late."""
        loan = Loan(target)
        if talk.ending is not None or self._talk.ending is not None:
            raise RemoteError("the call was over before it could be transferred", status=487)
        lender.patch.part()
        put_in_place(self._equipment, self._call, self._leaves, loan)
        talk.end(Ending(200, "the call was transferred", by=by, lent=loan))


class _Attempt:
    """One call of the target. `is_refused`: it, and not who stays, shares no codec."""

    def __init__(self) -> None:
        self.outcome: Failure | None = None
        self.settled = trio.Event()
        self.is_refused = False

    def settle(self, outcome: Failure) -> None:
        """How it came out; the first word counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.settled.set()
