"""INVITE with Replaces (RFC 3891): a phone takes the place of another phone of the same person in a call that stands.

The phone that calls so is joined with whoever talked with the other one; that one hears a BYE.
"""

import contextlib

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import ALLOWED_METHODS, SUPPORTED
from p2psip.calls.changes import fitting
from p2psip.calls.equipment import Equipment, Party, name_of
from p2psip.calls.loans import Loan
from p2psip.calls.rejoining import Change, offer_anew, put_in_place, see_off
from p2psip.calls.replacing import Replaces, Standing, find_standing
from p2psip.calls.services import OFFER
from p2psip.calls.sides import SDP, Side
from p2psip.calls.talk import Talk
from p2psip.calls.transfer import TRANSFERS_PER_CALL_MAX, Host
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.headers import NameAddr


class Pickups:
    """Serves INVITE with Replaces."""

    def __init__(self, equipment: Equipment, host: Host) -> None:
        self._equipment = equipment
        self._host = host

    async def serve(self, exchange: ServerExchange, sender: Party) -> None:
        """Put the phone that sent an INVITE in the place that it names, until the call is over; RemoteError if it may not."""
        replaces = Replaces.of_request(exchange.request)
        assert replaces is not None
        found = find_standing(self._host.standing, replaces.dialog_id)
        if sender.kind != "phone" or found is None or found.side is None:
            raise RemoteError("there is no such call to replace", status=481)
        if self._host.person_of(found.side) != sender.address:
            raise RemoteError("only a phone of the same person may take a call over", status=403)
        if replaces.early_only:
            raise RemoteError("the call to replace is answered already", status=486)
        await self._take_over(exchange, sender, found, found.side)

    async def _take_over(self, exchange: ServerExchange, sender: Party, found: Standing, leaves: Side) -> None:
        talk = found.call.talk
        assert talk is not None
        stays = talk.other(leaves)
        if stays is None or talk.leaver is not None or len(talk.borrowed) >= TRANSFERS_PER_CALL_MAX:
            raise RemoteError("this call can not be taken over now", status=488)
        side = self._side(exchange, sender, found, leaves)
        loan = Loan(side)
        try:
            async with Change(talk):
                await self._agree(exchange, side, stays, leaves, talk)
            if not put_in_place(self._equipment, found.call, leaves, loan):
                raise RemoteError("the call was over before it could be taken over", status=487)
            await see_off(talk, leaves, 0)
            await loan.returned.wait()
        finally:
            side.close()
            side.end.close()

    def _side(self, exchange: ServerExchange, sender: Party, found: Standing, leaves: Side) -> Side:
        invite, flow = exchange.request, sender.flow
        address = NameAddr.parse(leaves.dialog.contact).sip_uri().address
        contact = self._equipment.contact(address, flow)
        dialog = Dialog.of_server(invite, make_response(invite, 200, to_tag=self._equipment.tag()), contact)
        if invite.body and invite.content_type != SDP:
            raise RemoteError("a call is described in application/sdp here", status=415)
        name, end = name_of(flow, sender.account or ""), self._equipment.media_end(flow, offer=invite.body)
        side = Side(self._equipment, found.call.record, name=name, flow=flow, end=end, dialog=dialog)
        side.note_heard("INVITE with Replaces")
        side.learn(invite)
        return side

    async def _agree(self, exchange: ServerExchange, side: Side, stays: Side, leaves: Side, talk: Talk) -> None:
        """Media between the newcomer and who stays; what was agreed before is restored when the newcomer fails."""
        invite = exchange.request
        side.timer.check(invite)
        try:
            if invite.body:
                offer = side.end.take(invite.body, is_offer=True)
                answer = await offer_anew(self._equipment, stays, offer)
                await self._accept(exchange, side, side.end.write(fitting(answer, offer), is_offer=False))
            else:
                audio = (stays.end.heard or OFFER).with_direction("sendrecv")
                ack = await self._accept(exchange, side, side.end.write(audio, is_offer=True))
                await offer_anew(self._equipment, stays, side.end.take(ack, is_offer=False))
            if talk.ending is not None:
                raise RemoteError("the call was over before it could be taken over", status=487)
        except RemoteError:
            if exchange.answered:
                side.send("BYE").close()
            if talk.ending is None and leaves.end.heard is not None:
                with contextlib.suppress(RemoteError):
                    await offer_anew(self._equipment, stays, leaves.end.heard)
            raise

    async def _accept(self, exchange: ServerExchange, side: Side, body: bytes) -> bytes:
        side.establish()
        invite = exchange.request
        headers = [("Contact", side.dialog.contact), ("Allow", ALLOWED_METHODS), ("Supported", SUPPORTED)]
        headers += side.timer.answer(invite)
        response = make_response(
            invite, 200, to_tag=side.dialog.local.tag, headers=headers, body=body, content_type=SDP
        )
        side.note_said("200 OK")
        ack = await exchange.accept(response)
        side.note_heard("ACK")
        return ack.body
