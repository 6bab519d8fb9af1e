"""The core of a STUN and TURN server (RFC 8489, RFC 8656): who may relay what, and the answer to every request.

It is given STUN messages and the time, and gives back the answer, if there is one. Relayed packets never come here: the data plane
(`media/turn/plane.py`) reads the allocations' tables. Strangers get at most AMPLIFICATION_MAX times their bytes back, within a
budget for each network, and leave no state behind.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from media.turn import messages
from media.turn.allocation import Allocation, Relays, Tables, family_of
from media.turn.allocations import Allocations
from media.turn.authentication import Authentication
from media.turn.messages import Message, attribute
from media.turn.nonces import Nonces
from media.turn.policy import PeerPolicy
from media.turn.quota import SourceBudgets, User
from media.turn.refusal import REASONS, Refusal
from media.turn.settings import TurnSettings
from media.turn.wishes import read_family, read_wish
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

AMPLIFICATION_MAX = 3
PERMISSION_SECONDS = 300
CHANNEL_SECONDS = 600
CHANNEL_FIRST = 0x4000
SUCCEEDED = 200
_SOFTWARE = attribute(messages.SOFTWARE, b"p2psip")
_CHECKS = (messages.PRIORITY, messages.ICE_CONTROLLED, messages.ICE_CONTROLLING)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a message came from. `address` is ours to answer to; behind a stream `seen` is the real one."""

    address: Address
    seen: Address
    transport: str


class TurnServerCore:
    """A server for the clients of one realm; `secret` is what the passwords of its time-limited users are made with."""

    def __init__(
        self,
        *,
        settings: TurnSettings,
        policy: PeerPolicy,
        tables: Tables,
        relays: Relays,
        secret: bytes,
        realm: str,
        chance: Chance,
    ) -> None:
        self._settings, self._policy, self._relays = settings, policy, relays
        self._by_client = tables.allocations
        self._authentication = Authentication(secret=secret, realm=realm, nonces=Nonces(chance.bytes(32)))
        self._strangers = SourceBudgets(
            per_second=settings.answers_per_second_per_source,
            burst=settings.answers_burst_per_source,
            total_per_second=settings.answers_per_second_max,
            key=chance.bytes(32),
        )
        self._methods: dict[int, Callable[[Message, Allocation, float], bytes]] = {
            messages.REFRESH: self._refresh,
            messages.CREATE_PERMISSION: self._create_permission,
            messages.CHANNEL_BIND: self._bind_channel,
        }
        self.allocations = Allocations(settings=settings, tables=tables, relays=relays, chance=chance)
        self.answered: Counter[tuple[int, int]] = Counter()  # by method and status
        self.silenced = 0
        self.malformed = 0

    def receive(
        self,
        data: bytes,
        source: Address,
        now: float,
        unix: float,
        *,
        transport: str = "udp",
        seen: Address | None = None,
    ) -> bytes | None:
        """Take a STUN message of the client at `source`; the answer to it, if any. `seen` is its real address behind a stream."""
        try:
            message = messages.read(data)
        except RemoteError:
            self.malformed += 1
            return None
        if message.kind == messages.INDICATION and message.method == messages.SEND:
            self._send(message, source)
        if message.kind != messages.REQUEST:
            return None
        client = Client(source, seen or source, transport)
        if message.method == messages.BINDING:
            return self._bind(message, client, now)
        if message.method != messages.ALLOCATE and message.method not in self._methods:
            return None
        try:
            owner, key = self._authentication.verify(message, client.seen, now, unix)
        except Refusal as refusal:
            return self._refuse_stranger(message, refusal, client, now)
        return self._serve(message, self.allocations.users.find(owner, now), key, client, now)

    def poll_timeout(self) -> float | None:
        """See p2psip.base.core.Core."""
        return self.allocations.poll_timeout()

    def handle_timeout(self, now: float) -> None:
        """See p2psip.base.core.Core."""
        self.allocations.handle_timeout(now)

    def _serve(self, message: Message, user: User, key: bytes, client: Client, now: float) -> bytes | None:
        """A request with good credentials. A user with too many of them gets no answer."""
        if not user.requests.take(1.0, now):
            self.silenced += 1
            return None
        try:
            _check_understood(message)
            if message.method == messages.ALLOCATE:
                body = self._allocate(message, user, client, now)
            else:
                body = self._methods[message.method](message, self._allocation_of(user, client), now)
        except RemoteError as error:
            body = messages.error_attribute(error.status, REASONS[error.status])
            body += error.body if isinstance(error, Refusal) else b""
            return self._answer(message, error.status, body, key)
        return self._answer(message, SUCCEEDED, body, key)

    def _answer(self, message: Message, status: int, body: bytes, key: bytes | None) -> bytes:
        self.answered[message.method, status] += 1
        kind = messages.SUCCESS if status == SUCCEEDED else messages.ERROR
        return messages.write(kind, message.method, message.transaction, body, key, message.has_fingerprint)

    def _allocation_of(self, user: User, client: Client) -> Allocation:
        """RFC 8656 §5. Users are told apart by the owner in their name: credentials are renewed while an allocation lives."""
        allocation = self._by_client.get(client.address)
        if allocation is None:
            raise Refusal(437, "no allocation here")
        if allocation.user is not user:
            raise Refusal(441, "the allocation of another user")
        return allocation

    def _allocate(self, message: Message, user: User, client: Client, now: float) -> bytes:
        """RFC 8656 §7.2. A retransmitted request gets the answer of the first."""
        existing = self._by_client.get(client.address)
        if existing is not None:
            if existing.transaction == message.transaction and existing.user is user:
                return existing.answer
            raise Refusal(437, "this client has an allocation already")
        wish = read_wish(message, self._settings.families)
        alternate = self._settings.alternate
        if self.allocations.is_draining and alternate and family_of(alternate[0]) == family_of(client.seen[0]):
            server = messages.plain_address_attribute(messages.ALTERNATE_SERVER, alternate)
            raise Refusal(300, "this server is draining, another one is not", server)
        created = self.allocations.create(wish, user, client.address, client.transport, now)
        allocation = created.allocation
        body = b"".join(
            messages.address_attribute(messages.XOR_RELAYED_ADDRESS, relay.address, message.transaction)
            for relay in allocation.relays.values()
        )
        lifetime = int(next(iter(allocation.relays.values())).expires - now)
        body += attribute(messages.LIFETIME, lifetime.to_bytes(4, "big"))
        body += messages.address_attribute(messages.XOR_MAPPED_ADDRESS, client.seen, message.transaction)
        if created.token is not None:
            body += attribute(messages.RESERVATION_TOKEN, created.token)
        for family, code in created.missing:
            value = bytes((1 if family == 4 else 2, 0, code // 100, code % 100)) + REASONS[code].encode()
            body += attribute(messages.ADDRESS_ERROR_CODE, value)
        allocation.transaction, allocation.answer = message.transaction, body + _SOFTWARE
        return allocation.answer

    def _refresh(self, message: Message, allocation: Allocation, now: float) -> bytes:
        """RFC 8656 §8.2."""
        family = read_family(message)
        if family is not None and family not in allocation.relays:
            raise Refusal(443, "this allocation has no address of that family")
        lifetime = self.allocations.refresh(allocation, message.number(messages.LIFETIME, 4), family, now)
        return attribute(messages.LIFETIME, lifetime.to_bytes(4, "big")) + _SOFTWARE

    def _create_permission(self, message: Message, allocation: Allocation, now: float) -> bytes:
        """RFC 8656 §10.2: all of the peers or none."""
        hosts = {host for host, _ in message.peers}
        if not hosts:
            raise Refusal(400, "a permission for nobody")
        self._check_hosts(hosts, allocation)
        for host in hosts:
            allocation.permissions[host] = now + PERMISSION_SECONDS
        self.allocations.plan(allocation)
        return b""

    def _bind_channel(self, message: Message, allocation: Allocation, now: float) -> bytes:
        """RFC 8656 §12.2."""
        value = message.number(messages.CHANNEL_NUMBER, 4)
        peers = message.peers
        if value is None or not peers:
            raise Refusal(400, "a channel without number or peer")
        number, peer = value >> 16, peers[0]
        bound = allocation.headers_by_peer.get(peer)
        if (
            not CHANNEL_FIRST <= number <= self._settings.channel_last
            or allocation.channels_by_number.get(number, peer) != peer
            or (bound is not None and bound != number.to_bytes(2, "big"))
        ):
            raise Refusal(400, "a channel number out of range, or number or peer are bound otherwise")
        self._check_hosts({peer[0]}, allocation)
        if not self._policy.allows(peer):
            raise Refusal(403, "a peer that is refused")
        if bound is None and len(allocation.channels_by_number) >= self._settings.channels_max:
            raise Refusal(508, "this allocation has as many channels as one may have")
        allocation.bind(number, peer, now + CHANNEL_SECONDS)
        allocation.permissions[peer[0]] = now + PERMISSION_SECONDS
        self.allocations.plan(allocation)
        return b""

    def _check_hosts(self, hosts: set[str], allocation: Allocation) -> None:
        for host in hosts:
            if family_of(host) not in allocation.relays:
                raise Refusal(443, "a peer of another address family")
            if not self._policy.allows_host(host):
                raise Refusal(403, "a peer that is refused")
        if len(allocation.permissions.keys() | hosts) > self._settings.permissions_max:
            raise Refusal(508, "this allocation has as many permissions as one may have")

    def _send(self, message: Message, source: Address) -> None:
        """A Send indication (RFC 8656 §11.2). What is wrong with one is not said."""
        allocation = self._by_client.get(source)
        data = message.attributes.get(messages.DATA_VALUE)
        if allocation is None or data is None or message.unknown:
            return
        try:
            peer = message.peers[0]
        except (RemoteError, IndexError):
            allocation.counters.dropped += 1
            return
        relay = allocation.relays.get(family_of(peer[0]))
        if relay is None or peer[0] not in allocation.permissions or not self._policy.allows(peer):
            allocation.counters.dropped += 1
            return
        self._relays.send(relay, data, peer, dont_fragment=messages.DONT_FRAGMENT in message.attributes)

    def _bind(self, message: Message, client: Client, now: float) -> bytes | None:
        """A Binding request of anybody (RFC 8489 §6.3.1). An ICE check is for an agent that is gone: its silence is the answer."""
        if any(name in message.attributes for name in _CHECKS):
            return None
        try:
            _check_understood(message)
        except Refusal as refusal:
            return self._refuse_stranger(message, refusal, client, now)
        if not self._may_answer(client, now):
            return None
        body = messages.address_attribute(messages.XOR_MAPPED_ADDRESS, client.seen, message.transaction)
        return self._answer(message, SUCCEEDED, body, None)

    def _refuse_stranger(self, message: Message, refusal: Refusal, client: Client, now: float) -> bytes | None:
        """An error for somebody unknown: with its reason in words if that fits into AMPLIFICATION_MAX times the request."""
        if not self._may_answer(client, now):
            return None
        for reason in (REASONS[refusal.status], ""):
            body = messages.error_attribute(refusal.status, reason) + refusal.body
            size = messages.HEADER_BYTES + len(body) + (8 if message.has_fingerprint else 0)
            if client.transport != "udp" or size <= AMPLIFICATION_MAX * len(message.raw):
                return self._answer(message, refusal.status, body, None)
        self.silenced += 1
        return None

    def _may_answer(self, client: Client, now: float) -> bool:
        if self._strangers.spend(client.seen[0], now):
            return True
        self.silenced += 1
        return False


def _check_understood(message: Message) -> None:
    """RFC 8489 §6.3.1: attributes that must be understood and are not."""
    if message.unknown:
        listed = b"".join(name.to_bytes(2, "big") for name in message.unknown)
        raise Refusal(420, "attributes that nobody here knows", attribute(messages.UNKNOWN_ATTRIBUTES, listed))
