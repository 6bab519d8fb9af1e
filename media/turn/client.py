"""One allocation at a TURN server, from the client's side, as a core (RFC 8656): datagrams or messages of a stream in and out.

    ALLOCATING  Allocate is asked for; the server's challenge (401) gives realm and nonce
    READY       there is a relayed address; a Refresh every ten seconds keeps it, the NAT's binding and our trust in the server
    LOST        the server is silent, has forgotten us or refuses; `Lost` says why
    CLOSED      given back

Permissions and channels are kept fresh as long as they are wanted. What goes to a peer is a channel's data once the server
has confirmed the channel, and a Send indication before, so nothing waits.
"""

from collections import deque
from dataclasses import dataclass

from media.turn import messages
from media.turn.messages import attribute
from media.turn.outcomes import Allocated, Credentials, Lost, Received, State
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers

PERMISSIONS_MAX = 1_024
CHANNELS_MAX = 1_024
REQUESTS_MAX = 128
CHALLENGES_MAX = 3
ATTEMPTS_MAX = 7

RETRANSMIT_SECONDS = 0.25
RETRANSMIT_SECONDS_MAX = 0.5
STREAM_ANSWER_SECONDS = 4.0
KEEPALIVE_SECONDS = 10.0
RENEW_SECONDS = 200.0
LIFETIME_SECONDS = 600
FIRST_CHANNEL = 0x4000
REBIND_SECONDS = 900.0  # a channel lives for 10 minutes, and its number rests for 5 more (§12)
_UDP = attribute(messages.REQUESTED_TRANSPORT, b"\x11\0\0\0")
_IPV6 = b"\2\0\0\0"
_FAMILY_WISHES = {
    (4,): b"",
    (6,): attribute(messages.REQUESTED_ADDRESS_FAMILY, _IPV6),
    (4, 6): attribute(messages.ADDITIONAL_ADDRESS_FAMILY, _IPV6)
    + attribute(messages.DRAFT_ADDITIONAL_ADDRESS_FAMILY, _IPV6),
}
_ASK_FOR_LESS = (400, 420, 440, 486, 508)
"""Errors after which a server may still give an address of one family, where it was asked for both."""

Output = Transmit | Allocated | Received | Lost


@dataclass(slots=True, eq=False)
class _Request:
    """A request under way. `signed` says with which nonce, None without."""

    method: int
    peer: Address | None = None
    channel: int = 0
    lifetime: int | None = None
    attempts: int = 0
    challenges: int = 0
    signed: bytes | None = None
    sent_at: float = 0.0
    wire: bytes = b""


class TurnClient:
    """The core of one allocation. Give it what comes from `server`; drain it after every input.

    It is of one `family`; with `both`, a relayed address of each is asked for first (RFC 8656 §7.1), then less.
    """

    def __init__(
        self,
        server: Address,
        credentials: Credentials,
        *,
        is_stream: bool,
        chance: Chance,
        family: int = 4,
        both: bool = False,
    ) -> None:
        self.server = server
        self.is_stream = is_stream
        self.family = family
        self.state = State.ALLOCATING
        self.relayed: Address | None = None
        self.relays: dict[int, Address] = {}
        self.mapped: Address | None = None
        self.rtt: float | None = None
        self.permitted: dict[str, bool] = {}  # False: the server refuses that host
        self._credentials = credentials
        self._before: Credentials | None = None
        self._realm, self._nonce = credentials.realm, b""
        self._wishes: list[tuple[int, ...]] = [(4, 6), (family,), (10 - family,)] if both else [(family,)]
        self._chance = chance
        self._requests: dict[bytes, _Request] = {}
        self._channels: dict[Address, int] = {}
        self._peers: dict[int, Address] = {}
        self._headers: dict[Address, bytes] = {}
        self._bound_at: dict[Address, float] = {}
        self._resend: Timers[bytes] = Timers()
        self._renew: Timers[str | Address] = Timers()  # "" is the allocation, a text a permission, an address a channel
        self.heard_at = 0.0
        self._outputs: deque[Output] = deque()

    # Inputs

    def start(self, now: float) -> None:
        """Ask for the allocation."""
        self._ask(_Request(messages.ALLOCATE), now)

    def permit(self, host: str, now: float) -> None:
        """Let `host` send to us, from now on until `release`. Ignored beyond PERMISSIONS_MAX, and for another family."""
        if host in self.permitted or not self._may_have(host) or len(self.permitted) >= PERMISSIONS_MAX:
            return
        self.permitted[host] = True
        if self.state is State.READY:
            self._ask_permission(host, now)

    def _may_have(self, host: str) -> bool:
        return (6 if ":" in host else 4) in (self.relays or self._wishes[0])

    def release(self, host: str) -> None:
        """`host` is no longer wanted: its permission and its channels are not renewed."""
        self.permitted.pop(host, None)
        self._renew.stop(host)
        for peer in [peer for peer in self._headers if peer[0] == host]:
            del self._headers[peer]
            self._renew.stop(peer)

    def bind(self, peer: Address, now: float) -> None:
        """A channel for a peer that much goes to. Ignored beyond CHANNELS_MAX; Send indications carry the rest."""
        if self.state is not State.READY or peer in self._headers or not self.permitted.get(peer[0]):
            return
        if peer not in self._channels:
            number = self._free_number(now)
            if number is None:
                return
            self._channels[peer] = number
        if all(request.peer != peer for request in self._requests.values()):
            self._ask(_Request(messages.CHANNEL_BIND, peer, self._channels[peer]), now)

    def wrap(self, data: bytes, peer: Address) -> bytes | None:
        """What carries `data` to `peer` when it is sent to the server; None while nothing can."""
        header = self._headers.get(peer)
        if header is not None:
            wire = header + len(data).to_bytes(2, "big") + data
            return wire + bytes(-len(data) & 3) if self.is_stream else wire
        if self.state is not State.READY or not self.permitted.get(peer[0]):
            return None
        transaction = self._chance.bytes(12)
        body = messages.address_attribute(messages.XOR_PEER_ADDRESS, peer, transaction)
        body += attribute(messages.DATA_VALUE, data)
        return messages.write(messages.INDICATION, messages.SEND, transaction, body, None)

    def unwrap(self, data: bytes) -> Received | None:
        """The peer's datagram in a channel's data (RFC 8656 §12.4); None for a channel that is not ours."""
        peer = self._peers.get(int.from_bytes(data[:2], "big"))
        end = 4 + int.from_bytes(data[2:4], "big")
        if peer is None or len(data) < end or len(data) < 4:
            return None
        return Received(peer, data[4:end])

    def is_asking(self) -> bool:
        """Whether the server has still to say if the allocation lives, or to give one."""
        return any(each.method in (messages.ALLOCATE, messages.REFRESH) for each in self._requests.values())

    def expects(self, data: bytes) -> bool:
        """Whether a STUN datagram of the server's is for this client: an answer to it, or data of a peer."""
        if data[0] == 0 and data[1] == messages.INDICATION | messages.DATA:
            return True
        return data[0] == 1 and data[8:20] in self._requests

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram of the server."""
        if source != self.server or len(data) < 4 or self.state in (State.LOST, State.CLOSED):
            return
        if 64 <= data[0] < 80:
            found = self.unwrap(data)
            if found is not None:
                self.heard_at = now
                self._outputs.append(found)
            return
        try:
            message = messages.read(data)
            self._take(message, now)
        except RemoteError:
            return

    def renew(self, credentials: Credentials, now: float) -> None:
        """Go on with other credentials; if the server wants the first ones for an allocation (441), with those."""
        if credentials != self._credentials:
            self._before, self._credentials = self._credentials, credentials
            if self.state is State.READY:
                self.check(now)

    def check(self, now: float) -> None:
        """Ask now whether the allocation lives: the network has changed, or media has stopped."""
        if self.state is State.READY and all(each.method != messages.REFRESH for each in self._requests.values()):
            self._ask(_Request(messages.REFRESH, lifetime=LIFETIME_SECONDS), now)

    def close(self, now: float) -> None:
        """Give the allocation back (§7): said once."""
        if self.state is State.READY:
            self._ask(_Request(messages.REFRESH, lifetime=0), now)
        self._stop(State.CLOSED)

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for transaction in self._resend.expired(now):
            request = self._requests.get(transaction)
            if request is not None:
                self._repeat(transaction, request, now)
        for name in self._renew.expired(now):
            if name == "":
                self._renew.set("", now + self._chance.uniform(0.8, 1.2) * KEEPALIVE_SECONDS)
                self.check(now)
            elif isinstance(name, str):
                self._ask_permission(name, now)
            else:
                self._ask(_Request(messages.CHANNEL_BIND, name, self._channels[name]), now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return min((when for when in (self._resend.next(), self._renew.next()) if when is not None), default=None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    # Requests

    def _free_number(self, now: float) -> int | None:
        if len(self._channels) < CHANNELS_MAX:
            return FIRST_CHANNEL + len(self._channels)
        for peer, number in self._channels.items():
            if peer not in self._headers and now - self._bound_at.get(peer, now) > REBIND_SECONDS:
                del self._channels[peer]
                self._bound_at.pop(peer, None)
                return number
        return None

    def _ask_permission(self, host: str, now: float) -> None:
        self._ask(_Request(messages.CREATE_PERMISSION, (host, 0)), now)

    def _ask(self, request: _Request, now: float) -> None:
        if len(self._requests) >= REQUESTS_MAX:
            oldest = next(iter(self._requests))
            del self._requests[oldest]
            self._resend.stop(oldest)
        transaction = self._chance.bytes(12)
        request.wire, request.attempts, request.sent_at = self._write(request, transaction), 1, now
        self._requests[transaction] = request
        self._outputs.append(Transmit(request.wire, self.server))
        self._resend.set(transaction, now + (STREAM_ANSWER_SECONDS if self.is_stream else RETRANSMIT_SECONDS))

    def _write(self, request: _Request, transaction: bytes) -> bytes:
        body = b""
        if request.method == messages.ALLOCATE:
            body += _UDP + _FAMILY_WISHES[self._wishes[0]]
        if request.channel:
            body += attribute(messages.CHANNEL_NUMBER, request.channel.to_bytes(2, "big") + b"\0\0")
        if request.peer is not None:
            body += messages.address_attribute(messages.XOR_PEER_ADDRESS, request.peer, transaction)
        if request.lifetime is not None:
            body += attribute(messages.LIFETIME, request.lifetime.to_bytes(4, "big"))
        request.signed = self._nonce or None
        if not self._nonce:
            return messages.write(messages.REQUEST, request.method, transaction, body, None)
        body += attribute(messages.USERNAME, self._credentials.username.encode())
        body += attribute(messages.REALM, self._realm.encode()) + attribute(messages.NONCE, self._nonce)
        return messages.write(messages.REQUEST, request.method, transaction, body, self._key())

    def _key(self) -> bytes:
        return messages.long_term_key(self._credentials.username, self._realm, self._credentials.password)

    def _repeat(self, transaction: bytes, request: _Request, now: float) -> None:
        if not self.is_stream and request.attempts < ATTEMPTS_MAX:
            request.attempts += 1
            self._outputs.append(Transmit(request.wire, self.server))
            delay = min(RETRANSMIT_SECONDS * 2 ** (request.attempts - 1), RETRANSMIT_SECONDS_MAX)
            self._resend.set(transaction, now + delay)
            return
        del self._requests[transaction]
        if self.heard_at <= request.sent_at:
            self._lose("the relay does not answer")
        elif request.method in (messages.ALLOCATE, messages.CREATE_PERMISSION):
            self._ask(_Request(request.method, request.peer), now)

    # Answers

    def _take(self, message: messages.Message, now: float) -> None:
        if message.kind == messages.INDICATION and message.method == messages.DATA:
            data = message.attributes.get(messages.DATA_VALUE)
            if data is not None and len(message.peers) == 1:
                self.heard_at = now
                self._outputs.append(Received(message.peers[0], data))
            return
        request = self._requests.get(message.transaction)
        if request is None or message.method != request.method:
            return
        if message.kind == messages.SUCCESS and message.is_signed_with(self._key()):
            self._done(message.transaction, request, now)
            self._succeeded(request, message, now)
        elif message.kind == messages.ERROR:
            value = message.attributes.get(messages.ERROR_CODE, b"")
            if len(value) >= 4:
                self._done(message.transaction, request, now)
                words = value[4:].decode("utf-8", "replace")
                self._refused(request, value[2] % 8 * 100 + value[3], words, message, now)

    def _done(self, transaction: bytes, request: _Request, now: float) -> None:
        del self._requests[transaction]
        self._resend.stop(transaction)
        self.heard_at = now
        if request.attempts == 1:
            self.rtt = now - request.sent_at

    def _succeeded(self, request: _Request, message: messages.Message, now: float) -> None:
        match request.method:
            case messages.ALLOCATE if self.state is State.ALLOCATING:
                self._begin(message, now)
            case messages.REFRESH:
                self._before = None
            case messages.CREATE_PERMISSION if request.peer is not None and request.peer[0] in self.permitted:
                self._renew.set(request.peer[0], now + self._chance.uniform(0.9, 1.1) * RENEW_SECONDS)
            case messages.CHANNEL_BIND if request.peer is not None and request.peer[0] in self.permitted:
                self._peers[request.channel] = request.peer
                self._bound_at[request.peer] = now
                self._headers[request.peer] = request.channel.to_bytes(2, "big")
                self._renew.set(request.peer, now + self._chance.uniform(0.9, 1.1) * RENEW_SECONDS)

    def _begin(self, message: messages.Message, now: float) -> None:
        """The server has given the allocation; RemoteError when it names no address."""
        values = messages.all_values(message, messages.XOR_RELAYED_ADDRESS) or [b""]
        relayed = [messages.read_address(value, message.transaction) for value in values]
        mapped = message.attributes.get(messages.XOR_MAPPED_ADDRESS, b"")
        self.mapped = messages.read_address(mapped, message.transaction)
        self.relays = {6 if ":" in address[0] else 4: address for address in reversed(relayed)}
        self.relayed = relayed[0]
        self.state = State.READY
        self._renew.set("", now + KEEPALIVE_SECONDS)
        other = next((address for address in self.relays.values() if address != self.relayed), None)
        self._outputs.append(Allocated(self.relayed, self.mapped, other))
        self.permitted = {host: True for host in self.permitted if self._may_have(host)}
        for host in self.permitted:
            self._ask_permission(host, now)

    def _refused(self, request: _Request, code: int, words: str, message: messages.Message, now: float) -> None:
        nonce = message.attributes.get(messages.NONCE)
        is_new = nonce is not None and (code == 438 or request.signed is None)
        if code in (401, 438) and is_new and nonce and request.challenges < CHALLENGES_MAX:
            self._nonce = nonce
            realm = message.attributes.get(messages.REALM)
            self._realm = realm.decode("utf-8", "replace") if realm else self._realm
            request.challenges += 1
            self._ask(request, now)
        elif code in (401, 441) and self._before is not None:
            self._credentials, self._before = self._before, None
            self._ask(request, now)
        elif code == 437 and request.method == messages.ALLOCATE and request.lifetime is None:
            self._ask(_Request(messages.REFRESH, lifetime=0), now)  # an allocation of an earlier life of ours
            self._ask(_Request(messages.ALLOCATE, lifetime=LIFETIME_SECONDS), now)
        elif code == 437 and (request.method != messages.REFRESH or request.lifetime != 0):
            self._lose("the relay has forgotten us", forgotten=True)
        elif code in (401, 438, 441):
            self._lose("the relay refuses our credentials")
        elif request.method in (messages.CREATE_PERMISSION, messages.CHANNEL_BIND) and request.peer is not None:
            if request.peer[0] in self.permitted and code in (403, 443):
                self.permitted[request.peer[0]] = False
        elif request.method == messages.ALLOCATE and code in _ASK_FOR_LESS and len(self._wishes) > 1:
            del self._wishes[0]
            self._ask(_Request(messages.ALLOCATE), now)
        elif request.method == messages.ALLOCATE:
            self._lose(f"the relay has no place for us: {code} {words}"[:200])

    def _lose(self, reason: str, *, forgotten: bool = False) -> None:
        self._stop(State.LOST)
        self._outputs.append(Lost(reason, forgotten))

    def _stop(self, state: State) -> None:
        self.state = state
        self._requests.clear()
        self._resend, self._renew = Timers(), Timers()
        self._headers.clear()
