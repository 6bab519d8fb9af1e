"""A TURN server core without sockets, and a client that signs like any other."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from media.turn import messages
from media.turn.allocation import Allocation, Relay, Tables
from media.turn.messages import Message, attribute
from media.turn.policy import PeerPolicy
from media.turn.quota import Allowance, Meter
from media.turn.server import TurnServerCore
from media.turn.settings import TurnSettings
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.grants import turn_password

SECRET, REALM = b"the operator's secret", "example.org"
UNIX = 1_700_000_000.0
UDP = attribute(messages.REQUESTED_TRANSPORT, bytes((17, 0, 0, 0)))
TCP = attribute(messages.REQUESTED_TRANSPORT, bytes((6, 0, 0, 0)))
SERVER_HOST, SERVER_PORT = "198.51.100.1", 3478
ALICE: Address = ("192.0.2.10", 4000)
PEER: Address = ("203.0.113.5", 9000)


class FakeRelays:
    """Relayed addresses without sockets, with consecutive ports; remembers what was sent."""

    def __init__(self) -> None:
        self.open: dict[int, Relay] = {}
        self.assigned: dict[int, Allocation] = {}
        self.sent: list[tuple[Address, bytes, Address, bool]] = []
        self.missing: set[int] = set()
        self._next = 50_000

    def open_relay(self, family: int, *, even: bool) -> Relay | None:
        if family in self.missing:
            return None
        self._next += 1
        if even:
            self._next += self._next & 1
        return self._make(family)

    def open_pair(self, family: int) -> tuple[Relay, Relay] | None:
        first = self.open_relay(family, even=True)
        if first is None:
            return None
        self._next += 1
        return first, self._make(family)

    def assign(self, relay: Relay, allocation: Allocation) -> None:
        assert relay.handle in self.open
        assert relay.handle not in self.assigned
        self.assigned[relay.handle] = allocation

    def close_relay(self, relay: Relay) -> None:
        del self.open[relay.handle]
        self.assigned.pop(relay.handle, None)

    def send(self, relay: Relay, data: bytes, peer: Address, *, dont_fragment: bool) -> None:
        self.sent.append((relay.address, data, peer, dont_fragment))

    def _make(self, family: int) -> Relay:
        host = SERVER_HOST if family == 4 else "2001:db8:51::1"
        relay = Relay(self._next, (host, self._next), family)
        self.open[relay.handle] = relay
        return relay


class World:
    """A core at a time that the test sets."""

    def __init__(self, *, realm: str = REALM, **changes: object) -> None:
        self.settings = replace(TurnSettings(), **changes)  # type: ignore[arg-type]
        self.now, self.unix = 100.0, UNIX
        self.relays = FakeRelays()
        self.tables = Tables(
            Allowance(self.settings.bytes_per_second_max, 1.0, self.now), Meter(end=self.settings.bytes_per_month_max)
        )
        policy = PeerPolicy(
            allows_private=self.settings.allows_private,
            own_hosts=[SERVER_HOST],
            own_ports=[SERVER_PORT],
            relay_ports=(49_152, 65_535),
        )
        self.core = TurnServerCore(
            settings=self.settings,
            policy=policy,
            tables=self.tables,
            relays=self.relays,
            secret=SECRET,
            realm=realm,
            chance=Chance.seeded(1),
        )

    def receive(
        self, data: bytes, source: Address, transport: str = "udp", seen: Address | None = None
    ) -> bytes | None:
        return self.core.receive(data, source, self.now, self.unix, transport=transport, seen=seen)

    def pass_time(self, seconds: float) -> None:
        """Let time pass and serve the timers on the way."""
        end = self.now + seconds
        while (due := self.core.poll_timeout()) is not None and due <= end:
            self.unix += max(due - self.now, 0.0)
            self.now = max(due, self.now)
            self.core.handle_timeout(self.now)
        self.unix += end - self.now
        self.now = end

    def sizes(self) -> tuple[int, ...]:
        """Of every table that a message may change."""
        core = self.core
        return (
            len(self.tables.allocations),
            len(self.relays.open),
            core.allocations.in_use,
            len(core.allocations.users),
            len(core._authentication._keys),
            len(core.allocations._timers),
            len(core.allocations._reservations),
        )


@dataclass
class Answer:
    """An answer as the client reads it."""

    raw: bytes
    message: Message

    @property
    def status(self) -> int:
        """200 for success, otherwise the error code."""
        if self.message.kind == messages.SUCCESS:
            return 200
        value = self.message.attributes[messages.ERROR_CODE]
        return value[2] * 100 + value[3]

    def values(self, kind: int) -> list[bytes]:
        """All attributes of a kind."""
        found, at = [], 20
        while at < len(self.raw):
            name, size = struct.unpack_from("!HH", self.raw, at)
            if name == kind:
                found.append(self.raw[at + 4 : at + 4 + size])
            at += 4 + size + (-size & 3)
        return found

    def addresses(self, kind: int) -> list[Address]:
        """All addresses of a kind."""
        return [messages.read_address(value, self.message.transaction) for value in self.values(kind)]

    def number(self, kind: int) -> int:
        """The whole number in an attribute."""
        return int.from_bytes(self.message.attributes[kind], "big")


class Client:
    """One client: it takes nonces from 401 and 438 as it should."""

    def __init__(
        self, world: World, address: Address = ALICE, *, owner: str = "aa" * 20, lifetime: int = 86_400
    ) -> None:
        self.world, self.address = world, address
        self.transport = "udp"
        self.username = f"{int(world.unix) + lifetime}:{owner}"
        self.password = turn_password(SECRET, self.username)
        self.realm, self.nonce = REALM, b""
        self.seen: Address | None = None
        self._serial = hash(address) & 0xFFFF

    @property
    def key(self) -> bytes:
        return messages.long_term_key(self.username, REALM, self.password)

    def transaction(self) -> bytes:
        self._serial += 1
        return self._serial.to_bytes(12, "big")

    def request(self, method: int, body: bytes = b"", transaction: bytes | None = None) -> bytes:
        """A signed request."""
        signed = (
            body
            + attribute(messages.USERNAME, self.username.encode())
            + attribute(messages.REALM, self.realm.encode())
            + attribute(messages.NONCE, self.nonce)
        )
        return messages.write(messages.REQUEST, method, transaction or self.transaction(), signed, self.key)

    def send(self, data: bytes) -> Answer | None:
        """What the server answers to `data`."""
        raw = self.world.receive(data, self.address, self.transport, self.seen)
        return None if raw is None else Answer(raw, messages.read(raw))

    def learn_nonce(self) -> None:
        """Ask without credentials."""
        answer = self.send(messages.write(messages.REQUEST, messages.ALLOCATE, self.transaction(), UDP, None))
        assert answer is not None
        assert answer.status == 401
        self.nonce = answer.message.attributes[messages.NONCE]

    def ask(self, method: int, body: bytes = b"", transaction: bytes | None = None) -> Answer:
        """A request with credentials, again with a fresh nonce after 438; answers must be signed."""
        if not self.nonce:
            self.learn_nonce()
        answer = self.send(self.request(method, body, transaction))
        assert answer is not None
        if answer.status == 438:
            self.nonce = answer.message.attributes[messages.NONCE]
            answer = self.send(self.request(method, body, transaction))
            assert answer is not None
        return answer

    def allocate(self, *parts: bytes, transaction: bytes | None = None) -> Answer:
        return self.ask(messages.ALLOCATE, UDP + b"".join(parts), transaction)

    def refresh(self, *parts: bytes) -> Answer:
        return self.ask(messages.REFRESH, b"".join(parts))

    def permit(self, *peers: Address) -> Answer:
        transaction = self.transaction()
        return self.ask(messages.CREATE_PERMISSION, peer_attributes(peers, transaction), transaction)

    def bind(self, number: int, peer: Address = PEER) -> Answer:
        transaction = self.transaction()
        body = attribute(messages.CHANNEL_NUMBER, struct.pack("!HH", number, 0)) + peer_attributes([peer], transaction)
        return self.ask(messages.CHANNEL_BIND, body, transaction)

    def indicate(self, data: bytes, peer: Address = PEER, *parts: bytes) -> None:
        """A Send indication."""
        transaction = self.transaction()
        body = peer_attributes([peer], transaction) + attribute(messages.DATA_VALUE, data) + b"".join(parts)
        assert self.send(messages.write(messages.INDICATION, messages.SEND, transaction, body, None)) is None

    @property
    def allocation(self) -> Allocation | None:
        return self.world.tables.allocations.get(self.address)


def peer_attributes(peers: Sequence[Address], transaction: bytes) -> bytes:
    return b"".join(messages.address_attribute(messages.XOR_PEER_ADDRESS, peer, transaction) for peer in peers)


def lifetime(seconds: int) -> bytes:
    return attribute(messages.LIFETIME, seconds.to_bytes(4, "big"))


def family(kind: int, number: int) -> bytes:
    return attribute(kind, bytes((number, 0, 0, 0)))
