"""Steps before the answer: provisional responses with a description, reliable ones, PRACK, and requests in early dialogs."""

from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.extensions import tokens
from p2psip.sip.message import Request, Response
from tests.calls.world import Established, Outgoing, Phone


class EarlyCallee:
    """A phone that rings: its early dialog, and the reliable responses that it sends."""

    def __init__(self, phone: Phone, exchange: ServerExchange, tag: str = "") -> None:
        self.phone = phone
        self.exchange = exchange
        self.tag = tag or f"callee{phone.port}"
        self.number = 100
        self.headers = [("Contact", phone.contact), ("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE")]
        dialog = Dialog.of_server(exchange.request, self.response(200), phone.contact)
        self.dialog = Established(phone, dialog)

    def response(self, status: int, body: bytes = b"", *, rseq: int | None = None) -> Response:
        """A response in this dialog."""
        headers = list(self.headers)
        if rseq is not None:
            headers += [("Require", "100rel"), ("RSeq", str(rseq))]
        content_type = "application/sdp" if body else None
        request = self.exchange.request
        return make_response(request, status, to_tag=self.tag, headers=headers, body=body, content_type=content_type)

    def say(self, status: int, body: bytes = b"") -> None:
        """An unreliable response."""
        self.exchange.respond(self.response(status, body))

    async def say_reliably(self, status: int, body: bytes = b"", *, answer: bytes = b"") -> Request:
        """A reliable response; the PRACK that acknowledged it (answered 200)."""
        self.number += 1
        self.exchange.respond(self.response(status, body, rseq=self.number))
        prack = await self.dialog.expect("PRACK", body=answer)
        cseq = self.exchange.request.cseq
        assert prack.headers.get("RAck") == f"{self.number} {cseq.number} INVITE"
        return prack

    async def answer(self, body: bytes = b"") -> Established:
        """200; waits for the ACK."""
        self.dialog.ack = await self.exchange.accept(self.response(200, body))
        return self.dialog


class EarlyCaller:
    """A phone whose call rings: its early dialog."""

    def __init__(self, outgoing: Outgoing, response: Response) -> None:
        self.outgoing = outgoing
        self.phone = outgoing.phone
        self.dialog = Established(self.phone, Dialog.of_client(outgoing.request, response, self.phone.contact))

    async def acknowledge(self, response: Response, body: bytes = b"") -> Response:
        """PRACK; its answer."""
        assert "100rel" in tokens(response.headers, "Require")
        rack = f"{response.headers.get('RSeq')} {self.outgoing.request.cseq.number} INVITE"
        content_type = "application/sdp" if body else None
        return await self.dialog.ask("PRACK", headers=[("RAck", rack)], body=body, content_type=content_type)

    async def established(self, response: Response) -> Established:
        """ACK for the 200."""
        number = self.outgoing.request.cseq.number
        self.outgoing.exchange.acknowledge(response, self.dialog.dialog.acknowledge(number))
        return self.dialog


async def calls(phone: Phone, uri: str, *headers: tuple[str, str], body: bytes | None = None) -> Outgoing:
    """An authorised INVITE with more header fields."""
    request = phone.invitation(uri, body)
    for name, value in headers:
        request.headers.add(name, value)
    challenge = await phone.sip.start(request.copy(), phone.flow).final_response()
    again = phone.authorised(request, challenge)
    return Outgoing(phone, again, phone.sip.start(again, phone.flow))
