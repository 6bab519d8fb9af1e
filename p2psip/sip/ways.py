"""Which way a request takes when the first does not do: TCP for what is too large for UDP (RFC 3261 §18.1.1), back to UDP
where nobody listens on TCP, and another flow of the same phone when one has failed (RFC 5626 §5.3).

What is known of others is here; sockets and connections are not.
"""

import ipaddress
from collections.abc import Callable
from typing import Protocol

from p2psip.base.core import Address
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri

DATAGRAM_BYTES_MAX = 1_300
VIA_BYTES_MAX = 128
WAYS_MAX = 4
WITHOUT_TCP_MAX = 1_024
WITHOUT_TCP_SECONDS = 600.0
INSTEAD_MAX = 1_024

FLOW_FAILED = 430

Successor = Callable[[Flow], tuple[Flow, SipUri] | None]
"""The flow that has taken the place of one that failed, and the Contact of the phone there; None without any."""


class Attempt(Protocol):
    """A request of ours under way: `p2psip.sip.exchange.ClientExchange`. `tried` have failed; `fallback` is to be tried first."""

    request: Request
    flow: Flow
    tried: list[Flow]
    fallback: Flow | None
    is_cancelled: bool
    is_answered: bool


class Ways:
    """What one SIP service knows of ways. `successor` is set by whoever keeps registrations."""

    def __init__(self) -> None:
        self._without_tcp: dict[Address, float] = {}
        self._instead_of: dict[Flow, Flow] = {}
        self.successor: Successor | None = None

    def wants_tcp(self, request: Request, flow: Flow, now: float) -> bool:
        """Whether `request` is too large for the UDP of `flow`, and TCP may lead to the same place.

        It does not where a Contact names another address than the flow: that phone is behind a NAT.
        """
        if flow.transport != "udp" or _bytes_of(request) + VIA_BYTES_MAX <= DATAGRAM_BYTES_MAX:
            return False
        uri = request.uri
        is_behind_nat = isinstance(uri, SipUri) and _is_address(uri.ip_host) and uri.ip_host != flow.remote[0]
        return not is_behind_nat and self._without_tcp.get(flow.remote, 0.0) <= now

    def note_without_tcp(self, remote: Address, now: float) -> None:
        """Nobody listens there: large requests go over UDP for a while, without asking again."""
        self._without_tcp.pop(remote, None)
        while len(self._without_tcp) >= WITHOUT_TCP_MAX:
            del self._without_tcp[next(iter(self._without_tcp))]
        self._without_tcp[remote] = now + WITHOUT_TCP_SECONDS

    def note_instead(self, connection: Flow, udp: Flow) -> None:
        """`connection` was dialled (or found open) for what was too large for `udp`; until `forget`, or INSTEAD_MAX later ones."""
        self._instead_of.pop(connection, None)
        while len(self._instead_of) >= INSTEAD_MAX:
            del self._instead_of[next(iter(self._instead_of))]
        self._instead_of[connection] = udp

    def instead_of(self, connection: Flow) -> Flow | None:
        """The UDP flow, to the same peer, whose place `connection` has taken last; None where it has taken none."""
        return self._instead_of.get(connection)

    def forget(self, connection: Flow) -> None:
        """It has ended."""
        self._instead_of.pop(connection, None)

    def next_request(self, attempt: Attempt) -> Request | None:
        """The request again, for `attempt.flow`, which is another one now; None when there is no other way."""
        if attempt.is_cancelled or attempt.is_answered or len(attempt.tried) >= WAYS_MAX:
            return None
        attempt.tried.append(attempt.flow)
        again = attempt.request.copy()
        again.headers.remove("Via")  # ours: the transaction layer puts a new one
        found = None if self.successor is None else self.successor(attempt.flow)
        if attempt.fallback is not None and attempt.fallback not in attempt.tried:
            attempt.flow = attempt.fallback
        elif found is not None and found[0] not in attempt.tried:
            attempt.flow, contact = found
            if again.to.tag is None:  # within a dialog its remote target stays (RFC 3261 §12.2.1.1)
                again.uri = contact
        else:
            return None
        return again


def _bytes_of(request: Request) -> int:
    """How long `request` is on the wire; it is written out for that only if it is not plain ASCII."""
    texts = [request.start_line()]
    for name, value in request.headers:
        if name != "Content-Length":
            texts += (name, value)
    if not all(map(str.isascii, texts)):
        return len(request.to_bytes())
    length = f"Content-Length: {len(request.body)}\r\n\r\n"
    return sum(map(len, texts)) + 2 * len(texts) + len(length) + len(request.body)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
