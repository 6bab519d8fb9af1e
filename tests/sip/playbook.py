"""Playbooks for the transaction layer: a script of inputs, and the whole of what comes out, compared as one text.

Each line begins with a time in seconds. Inputs:

    send INVITE            our user sends a request          answer 180         our user answers the request that came last
    cancel                 our user cancels its INVITE       closed             the connection has ended
    < 180 INVITE [tag]     a response arrives                < INVITE [branch]  a request arrives

Everything else is output: `> ...` goes over the wire, `user: ...` goes up. A script runs until no timer is left.
"""

from p2psip.base.chance import Chance
from p2psip.sip.build import make_response
from p2psip.sip.events import (
    AckReceived,
    CancelReceived,
    Output,
    RequestReceived,
    ResponseReceived,
    SipTransmit,
    TransactionEnded,
    TransactionFailed,
)
from p2psip.sip.flow import Flow
from p2psip.sip.layer import TransactionLayer
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message

HERE = ("192.0.2.1", 5060)
THERE = ("192.0.2.9", 5066)
INPUTS = ("send", "answer", "cancel", "closed", "<")


def flow_of(transport: str = "udp") -> Flow:
    """The flow of a playbook."""
    return Flow(transport, HERE, THERE, 0 if transport in ("udp", "overlay") else 7)


def request_text(method: str = "INVITE", branch: str = "z9hG4bKone", **more: str) -> bytes:
    """A request of the peer. `more` may set via, to, from_, number, call_id, headers (whole lines)."""
    via = more.get("via", f"SIP/2.0/UDP {THERE[0]}:{THERE[1]};branch={branch};rport")
    lines = [
        f"{method} sip:bob@192.0.2.1 SIP/2.0",
        f"Via: {via}",
        "Max-Forwards: 70",
        f"From: {more.get('from_', '<sip:alice@example.com>;tag=a')}",
        f"To: {more.get('to', '<sip:bob@example.com>')}",
        f"Call-ID: {more.get('call_id', 'one')}",
        f"CSeq: {more.get('number', '1')} {method}",
        "Contact: <sip:alice@192.0.2.9:5066>",
    ]
    return ("\r\n".join(lines) + "\r\n" + more.get("headers", "") + "Content-Length: 0\r\n\r\n").encode()


def make_outgoing(method: str, headers: str = "") -> Request:
    """A request of our user, still without a Via."""
    message = parse_message(request_text(method, headers=headers))
    assert isinstance(message, Request)
    message.headers.remove("Via")
    return message


class Stage:
    """One layer, one flow, and everything that came out so far."""

    def __init__(self, transport: str = "udp") -> None:
        self.layer = TransactionLayer(Chance.seeded(1))
        self.flow = flow_of(transport)
        self.now = 0.0
        self.lines: list[str] = []
        self.sent: list[Request | Response] = []
        self.wires: list[tuple[bytes, Flow]] = []
        self.requests: dict[str, Request] = {}
        self.key = ""

    def advance(self, when: float | None) -> None:
        """Serve every timer up to `when` at its exact time; all of them for None."""
        while (due := self.layer.poll_timeout()) is not None and (when is None or due <= when):
            assert due >= self.now
            self.now = due
            self.layer.handle_timeout(due)
            self.drain()
        self.now = self.now if when is None else when

    def drain(self) -> list[Output]:
        """Note all outputs."""
        found = []
        while (output := self.layer.poll_output()) is not None:
            found.append(output)
            self.lines.append(f"{self.now:g} {self._words(output)}")
        return found

    def send(self, method: str, headers: str = "") -> Request:
        """Our user sends a request; as it went over the wire."""
        self.key = self.layer.request(make_outgoing(method, headers), self.flow, self.now)
        self.drain()
        return self.last_request(method)

    def cancel(self) -> None:
        """Our user cancels."""
        self.layer.cancel(self.key, self.now)
        self.drain()

    def receive(self, data: bytes, flow: Flow | None = None) -> list[Output]:
        """Bytes arrive."""
        self.layer.receive(data, flow or self.flow, self.now)
        return self.drain()

    def respond(self, status: int, method: str, tag: str = "b") -> None:
        """The peer answers our last request of this method."""
        self.receive(make_response(self.last_request(method), status, to_tag=tag).to_bytes())

    def answer(self, status: int, method: str = "") -> None:
        """Our user answers the request that came last (with this method)."""
        key, request = next((key, each) for key, each in reversed(self.requests.items()) if method in ("", each.method))
        self.layer.respond(key, make_response(request, status, to_tag="b"), self.now)
        self.drain()

    def close(self) -> None:
        """The connection ends."""
        self.layer.flow_closed(self.flow, self.now)
        self.drain()

    def last_request(self, method: str) -> Request:
        """What was sent last with this method."""
        return next(each for each in reversed(self.sent) if isinstance(each, Request) and each.method == method)

    def _words(self, output: Output) -> str:
        match output:
            case SipTransmit(data, flow):
                message = parse_message(data)
                self.sent.append(message)
                self.wires.append((data, flow))
                return f"> {_summary(message)}"
            case RequestReceived(key, request, _flow):
                self.requests[key] = request
                return f"user: {request.method}"
            case AckReceived():
                return "user: ACK"
            case CancelReceived():
                return "user: cancelled"
            case ResponseReceived(_key, response):
                return f"user: {_summary(response)}"
            case TransactionFailed(_key, status):
                return f"user: failed {status}"
            case TransactionEnded():
                return "user: ended"


def play(transport: str, script: str) -> None:
    """Play the inputs of `script` and compare all that happened with it."""
    expected = [" ".join(line.split()) for line in script.strip().splitlines()]
    stage = Stage(transport)
    for line in expected:
        time, verb, *words = line.split()
        if verb in INPUTS:
            stage.advance(float(time))
            stage.lines.append(line)
            _enter(stage, verb, words)
    stage.advance(None)
    assert stage.lines == expected, "\n" + "\n".join(stage.lines)


def _enter(stage: Stage, verb: str, words: list[str]) -> None:
    match verb, words:
        case "send", [method]:
            stage.send(method)
        case "answer", [status, *method]:
            stage.answer(int(status), *method)
        case "cancel", []:
            stage.cancel()
        case "closed", []:
            stage.close()
        case "<", [status, method, *tag] if status.isdigit():
            stage.respond(int(status), method, *tag)
        case "<", [method, *branch]:
            stage.receive(request_text(method, *branch))
        case _:
            raise AssertionError(f"not a line of a playbook: {verb} {words}")


def _summary(message: Request | Response) -> str:
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"
