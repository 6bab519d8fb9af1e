"""REFER outside of a call (RFC 3515): a program of a person rings that person's phones, and connects who answers to the target.

It is done by two things that are there already: a call that the node places itself, and a transfer of it. So the target is
called as by any phone of the person, and only the person's own phones can be made to call.
"""

from dataclasses import replace

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.equipment import Equipment, Party
from p2psip.calls.referral import Referral, Reports
from p2psip.calls.services import OFFER
from p2psip.calls.standing_in import QuietEnd, StandIn, invitation
from p2psip.calls.transfer import Host, Transfer, Transfers
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.message import Response
from p2psip.sip.uri import SipUri

NOWHERE = Flow("inside", ("inside", 0), ("inside", 0))


class Referrals:
    """Serves REFER, within calls by `p2psip.calls.transfer`."""

    def __init__(self, equipment: Equipment, host: Host) -> None:
        self._equipment = equipment
        self._host = host
        self._transfers = Transfers(equipment, host)

    async def serve(self, exchange: ServerExchange) -> None:
        """Answer a REFER and see what it asks for to its end."""
        request = exchange.request
        if request.to.tag is not None:
            await self._transfers.serve(exchange)
            return
        sender = await self._host.sender(exchange)
        if sender is None:
            return
        if sender.kind != "phone":
            raise RemoteError("only phones of this node call from here", status=403)
        referral = Referral.of_request(request)
        address = self._equipment.addresses.of_ours(request.uri)
        if address is None or self._equipment.addresses.main(address) != sender.address:
            raise RemoteError("only one's own phones can be made to call", status=403)
        if referral.replaces is not None:
            raise RemoteError("a call is replaced within another one only", status=403)
        reports = self._accept(exchange, referral)
        reports.tell(100)
        click = Click(self._equipment, self._host, replace(sender, flow=NOWHERE), referral, reports)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reports.run)
            await click.run(address)

    def _accept(self, exchange: ServerExchange, referral: Referral) -> Reports:
        request, flow = exchange.request, exchange.flow
        contact = self._equipment.contact(request.from_.sip_uri().address, flow)
        headers = [("Contact", contact)]
        if not referral.wants_reports:
            headers.append(("Refer-Sub", "false"))
        response = make_response(request, 202, to_tag=self._equipment.tag(), headers=headers)
        dialog = Dialog.of_server(request, response, contact)
        exchange.respond(response)

        def send(method: str, more: list[tuple[str, str]], body: bytes, kind: str) -> ClientExchange:
            report = dialog.request(method, headers=more, body=body, content_type=kind)
            return self._equipment.sip.start(report, flow)

        return Reports(send, "refer", is_wanted=referral.wants_reports)


class Click:
    """One call: first to the phones of `sender`, then from there to the target."""

    def __init__(self, equipment: Equipment, host: Host, sender: Party, referral: Referral, reports: Reports) -> None:
        self._equipment = equipment
        self._host = host
        self._sender = sender
        self._referral = referral
        self._reports = reports
        self._decided = trio.Event()

    async def run(self, address: str) -> None:
        """Ring the phones at `address`, and go on with the one that answers."""
        end = QuietEnd(self._equipment, OFFER)
        request = invitation(self._equipment, self._sender, SipUri.of_address(address), b"", [])
        stand_in = StandIn(request, self._sender, self._told, self._answered)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._place, stand_in, end)
            await self._decided.wait()
            if self._reports.is_over:
                return
            call = next(each for each in self._host.standing if each.exchange is stand_in)
            talk = call.talk
            assert talk is not None
            talk.left.set()  # nobody is there who could hang up
            transfer = Transfer(self._equipment, self._host, call, talk.caller, self._sender, self._referral)
            await transfer.run(self._reports)

    async def _place(self, stand_in: StandIn, end: QuietEnd) -> None:
        try:
            await self._host.place(stand_in, self._sender, end)
        except RemoteError as error:
            self._fail(Failure.of_error(error))

    def _told(self, response: Response) -> None:
        if response.status >= 300:
            self._fail(Failure(response.status, response.warning))

    def _fail(self, failure: Failure) -> None:
        self._reports.tell(failure.status)
        self._decided.set()

    async def _answered(self) -> None:
        self._decided.set()
