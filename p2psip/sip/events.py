"""What the transaction layer puts out: messages to send, and events for its user."""

from dataclasses import dataclass

from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class SipTransmit:
    """One message to send over a flow."""

    data: bytes
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A new request; answer it with `respond(key, …)`."""

    key: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class AckReceived:
    """An ACK that belongs to a 2xx (§13.3.1.4): it is matched by dialog, not by transaction."""

    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class CancelReceived:
    """The peer cancelled the INVITE `key`; the CANCEL itself was answered already. Answer the INVITE with 487 (§9.2)."""

    key: str
    cancel: Request


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response to our request `key`. For an INVITE, 2xx may come several times and from several branches."""

    key: str
    response: Response


@dataclass(frozen=True, slots=True)
class TransactionFailed:
    """No response will come for our request `key`: `status` is 408 (timeout) or 503 (transport) (§8.1.3.1)."""

    key: str
    status: int


@dataclass(frozen=True, slots=True)
class TransactionEnded:
    """The transaction `key` has left the table."""

    key: str


Output = (
    SipTransmit
    | RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | TransactionFailed
    | TransactionEnded
)
