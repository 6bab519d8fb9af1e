"""Requests and answers inside sealed frames: their form, and the table of those that wait for an answer.

    request   [id, method, flags, token, configuration sequence, certificate, arguments]
    answer    [id, status, seen address, token, certificate or nil, configuration sequence, result, flags]

Flags: 1 the asker wants a certificate, 2 the sender is a client (`overlay.reachability`): nobody may send others to it.
The first byte of a payload tells what it is. While the asker holds no token of the other side, its request carries its own
certificate and is padded: the other side need not ask for it, and may answer with its own, a registration and its name. Every
answer says where the asker was seen from, and carries a write token: shown again, it proves that the asker receives at its address,
so that a full answer may go there. Without it an answer has three times the size of the request at most. Status 200 is success;
else `result` is a sentence.

    FIND      [key, wants records]                       result  [contacts, records]
              [key, wants records, [point]]              the contacts wanted are those around another place
              [key, wants records, [point, after]]       only registrations, and of authors whose Node-IDs come after this one
                                                         result  [contacts, records, left]: so many registrations did not fit
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from overlay.contact import Contact, pack_host, unpack_host
from overlay.rtt import RoundTrips
from p2psip.base.chance import Chance
from p2psip.base.codec import pack, unpack
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.timers import Timers

REQUEST, ANSWER, CONVERSATION, RELAY, RELAYED, LOST, PROBE, INTRODUCTION = range(1, 9)
PING, FIND, STORE, CONFIGURATION, ATTACH, GRANT, DIAL_BACK, PROBE_FOR, REACH, OFFER, WATCH, NEWS = range(1, 13)
WANTS_CERTIFICATE, IS_CLIENT = 1, 2
PENDING_MAX = 4_096
PADDED_BYTES = 420
AMPLIFICATION_MAX = 3
SEEN_CACHED_MAX = 8_192
OK = 200
UNAUTHORIZED = 401

_REQUEST, _ANSWER = bytes((REQUEST,)), bytes((ANSWER,))


@dataclass(slots=True)  # one for each datagram: a frozen one takes three times as long to make
class Request:
    """A request that was received."""

    id: int
    method: int
    wants_certificate: bool
    token: bytes
    sequence: int
    certificate: bytes
    arguments: list[Any]
    is_client: bool = False


@dataclass(slots=True)
class Answer:
    """An answer that was received. `seen` is our own address as the other side sees it."""

    status: int
    seen: Address
    token: bytes
    certificate: bytes | None
    sequence: int
    result: Any
    is_client: bool = False


Callback = Callable[[Contact, "Answer | None"], None]
"""Called once: with the answer, or with None when none came."""

Late = Callable[[Contact], None]
"""Called when no answer has come in the usual time, so that the asker may go on with others meanwhile."""


class Tokened(Protocol):
    """What is remembered of a node in its place in a `FrameBox`: the newest token that it gave us, or none."""

    token: bytes


Knowing = Callable[[bytes], Tokened | None]
"""What is remembered of the node with this key."""


@dataclass(slots=True)
class _Pending:
    contact: Contact
    payload: bytes
    callback: Callback
    late: Late | None
    sent_at: float
    repeated: bool = False
    is_last: bool = False


class PendingRequests:
    """Our requests that wait. `send(node_key, address, payload)` puts one on its way; `known` is who keeps tokens."""

    __slots__ = ("_known", "_next_id", "_pending", "_send", "round_trips", "timers")

    def __init__(self, chance: Chance, send: Callable[[bytes, Address, bytes], None], known: Knowing) -> None:
        self._send = send
        self._known = known
        self._next_id = chance.integer(31)
        self._pending: dict[int, _Pending] = {}
        self.timers: Timers[int] = Timers()
        self.round_trips = RoundTrips()

    def __len__(self) -> int:
        return len(self._pending)

    def ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[Any],
        callback: Callback,
        *,
        wants: bool,
        certificate: bytes,
        sequence: int,
        now: float,
        late: Late | None = None,
        is_client: bool = False,
        once: bool = False,
    ) -> None:
        """Send a request, with our `certificate` for a side we have no token of; LocalError over PENDING_MAX or if too large.

        A PING to a node whose certificate we know (not `wants`) is short: it has asked us, and has ours from our answer.
        It is repeated when no answer comes in the usual time, unless it is to be sent `once`.
        """
        if len(self._pending) >= PENDING_MAX:
            raise LocalError("too many requests wait for an answer")
        self._next_id = number = (self._next_id + 1) & 0x7FFFFFFF
        known = self._known(contact.node_key)
        token = b"" if known is None else known.token
        is_short = token or (method == PING and not wants)
        head = [number, method, wants | is_client << 1, token, sequence, b"" if is_short else certificate]
        payload = _REQUEST + pack([*head, arguments])
        if not is_short and len(payload) < PADDED_BYTES:
            padding = bytes(max(0, PADDED_BYTES - len(payload) - 5))
            payload = _REQUEST + pack([*head, [*arguments, padding]])
        self._send(
            contact.node_key, contact.address, payload
        )  # first: what is too large to be sent must not wait for an answer
        self._pending[number] = _Pending(contact, payload, callback, late, now, False, once)
        wait = self.round_trips.give_up_seconds if once else self.round_trips.retransmit_seconds
        self.timers.set(number, now + wait)

    def receive(self, sender: bytes, payload: bytes, now: float) -> tuple[Contact, Answer, Callback] | None:
        """Match an answer; None for one that nobody waits for. RemoteError if malformed."""
        number, answer = _parse_answer(payload)
        waiting = self._pending.get(number)
        if waiting is None or waiting.contact.node_key != sender:
            return None
        del self._pending[number]
        self.timers.stop(number)
        contact = waiting.contact
        if not waiting.repeated:
            contact.rtt = now - waiting.sent_at
            self.round_trips.measured(contact.rtt)
        contact.failures, contact.last_seen = 0, now
        if answer.token:
            known = self._known(sender)
            if known is not None and known.token != answer.token:
                known.token = answer.token
        return contact, answer, waiting.callback

    def handle_timeout(self, now: float) -> list[tuple[Contact, Callback]]:
        """Repeat once what is due; give back what is given up."""
        lost: list[tuple[Contact, Callback]] = []
        for number in self.timers.expired(now):
            waiting = self._pending[number]
            if waiting.repeated or waiting.is_last:
                del self._pending[number]
                waiting.contact.failures += 1
                lost.append((waiting.contact, waiting.callback))
            else:
                waiting.repeated = True
                left = self.round_trips.give_up_seconds - (now - waiting.sent_at)
                self.timers.set(number, now + max(left, 0.05))
                self._send(waiting.contact.node_key, waiting.contact.address, waiting.payload)
                if waiting.late is not None:
                    waiting.late(waiting.contact)
        return lost

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()


def parse_request(payload: bytes) -> Request:
    """The request in a payload; RemoteError if malformed."""
    match unpack(payload[1:]):
        case [
            int() as number,
            int() as method,
            int() as flags,
            bytes() as token,
            int() as sequence,
            bytes() as certificate,
            list() as arguments,
        ]:
            wants, is_client = bool(flags & WANTS_CERTIFICATE), bool(flags & IS_CLIENT)
            return Request(number, method, wants, token, sequence, certificate, arguments, is_client)
        case _:
            raise RemoteError("a request of an unknown form")


def make_answer(
    request: Request,
    status: int,
    seen: Address,
    token: bytes,
    certificate: bytes | None,
    sequence: int,
    result: Any,
    *,
    is_client: bool = False,
) -> bytes:
    """The payload that answers `request`."""
    where = [pack_host(seen[0]), seen[1]]
    flags = IS_CLIENT if is_client else 0
    return _ANSWER + pack([request.id, status, where, token, certificate, sequence, result, flags])


@lru_cache(maxsize=SEEN_CACHED_MAX)
def _shared(host: str, port: int) -> Address:
    """One object for all that see a node at the same address: each of its votes holds one."""
    return host, port


def _parse_answer(payload: bytes) -> tuple[int, Answer]:
    match unpack(payload[1:]):
        case [
            int() as number,
            int() as status,
            [packed, int() as port],
            bytes() as token,
            certificate,
            int() as sequence,
            result,
            int() as flags,
        ] if 0 < port < 65_536 and (certificate is None or isinstance(certificate, bytes)):
            seen, is_client = _shared(unpack_host(packed), port), bool(flags & IS_CLIENT)
            return number, Answer(status, seen, token, certificate, sequence, result, is_client)
        case _:
            raise RemoteError("an answer of an unknown form")
