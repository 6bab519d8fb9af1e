"""The four transaction machines (RFC 3261 §17, RFC 6026): states, timers, and what each input does.

A machine is a value with a state; it is driven by `p2psip.sip.layer`, which owns the table, the timers and the outputs.

    client INVITE      CALLING -> PROCEEDING -> ACCEPTED (2xx) | COMPLETED (3xx-6xx) -> TERMINATED      §17.1.1, RFC 6026 §7.2
    client non-INVITE  TRYING -> PROCEEDING -> COMPLETED -> TERMINATED                                   §17.1.2
    server INVITE      PROCEEDING -> ACCEPTED (2xx) | COMPLETED -> CONFIRMED -> TERMINATED              §17.2.1, RFC 6026 §7.1
    server non-INVITE  TRYING -> PROCEEDING -> COMPLETED -> TERMINATED                                   §17.2.2
"""

import enum
from dataclasses import dataclass, field

from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.message import Request, Response

T1_SECONDS = 0.5
T2_SECONDS = 4.0
T4_SECONDS = 5.0
TRANSACTION_SECONDS = 64 * T1_SECONDS
TIMER_D_SECONDS = 32.0
TRYING_SECONDS = 0.2
BRANCH_COOKIE = "z9hG4bK"


class State(enum.Enum):
    """States of all machines; which of them each has, and in which order, stands at the top of this file."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Timer(enum.Enum):
    """Named deadlines; the RFC's letters are in the comments (client INVITE / non-INVITE, server INVITE / non-INVITE)."""

    RETRANSMIT = "retransmit"  # A / E, G / -
    TIMEOUT = "timeout"  # B / F, H / -
    LINGER = "linger"  # D, M / K, I, L / J
    TRYING = "trying"  # §17.2.1: 100 unless the user has answered within 200 ms


@dataclass(slots=True)
class ClientTransaction:
    """One request of ours that waits for its final response. `wire` is what is retransmitted."""

    key: str
    request: Request
    flow: Flow
    wire: bytes
    state: State
    interval: float = T1_SECONDS
    acknowledgement: bytes | None = None
    cancel_wanted: bool = False
    cancelled: bool = False

    @property
    def is_invite(self) -> bool:
        """Whether this is the INVITE machine."""
        return self.request.method == "INVITE"


@dataclass(slots=True)
class ServerTransaction:
    """One request of a peer and the last response to it. `wire` is that response as sent, over the flow `reply`."""

    key: str
    request: Request
    flow: Flow
    reply: Flow
    state: State
    interval: float = T1_SECONDS
    response: Response | None = None
    wire: bytes | None = None
    merge_key: tuple[str, str, str] = field(default=("", "", ""))

    @property
    def is_invite(self) -> bool:
        """Whether this is the INVITE machine."""
        return self.request.method == "INVITE"

    def accept(self) -> None:
        """An INVITE was answered with 2xx: for half a minute the answer is kept, but not the request."""
        self.state = State.ACCEPTED
        self.request = Request("INVITE", self.request.uri)

    def complete(self) -> None:
        """A request other than INVITE was answered: for half a minute only the bytes of the answer are kept, and no header."""
        self.state = State.COMPLETED
        self.request, self.response = Request(self.request.method, self.request.uri), None


def client_key(branch: str, method: str) -> str:
    """What a response is matched by (§17.1.3); ACK for a non-2xx belongs to its INVITE."""
    return f"{branch} {method}"


def server_key(request: Request, flow: Flow) -> str:
    """What a request is matched by (§17.2.3); ACK is matched to its INVITE. Without the magic cookie, RFC 2543's way.

    In the overlay every node writes the same sent-by, so there the Node-ID that was proved stands for it.
    """
    method = "INVITE" if request.method == "ACK" else request.method
    via = request.top_via
    branch = via.branch or ""
    if branch.startswith(BRANCH_COOKIE) and branch != BRANCH_COOKIE:
        sent_by = flow.remote[0] if flow.transport == OVERLAY else f"{via.host.lower()}:{via.port or 0}"
        return f"{branch} {sent_by} {method}"
    tag = "" if request.method in ("INVITE", "ACK", "CANCEL") else request.to.tag or ""
    return f"{request.call_id} {request.from_.tag} {tag} {request.cseq.number} {via} {method}"
