"""Our relays: allocations at TURN servers, made ahead and shared by all calls of the node (RFC 8656), as a core.

Each allocation is one more address of the node's port. A relay that is lost is asked for again under a new number, since
it has another address then: `number` names the server for the application, the number in a `Way` one allocation.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from media.ice.candidates import Candidate, Way, relay_candidate
from media.turn.client import TurnClient
from media.turn.outcomes import Allocated, Credentials, Lost, Received, State
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit, address_text, is_synthetic
from p2psip.base.errors import LocalError
from p2psip.base.timers import Timers

RELAYS_MAX = 16
RETRY_SECONDS = 2.0
RETRY_SECONDS_MAX = 60.0
_GENERATION = 1 << 16
_LATER = 16_384


@dataclass(frozen=True, slots=True)
class RelayReady:
    """Relay `number` has addresses; `candidates` are what calls may use, one for each family."""

    number: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class RelayGone:
    """The allocation `relay` (the number in ways) of relay `number` is gone. `reason` is a sentence."""

    number: int
    relay: int
    reason: str


Output = Transmit | RelayReady | RelayGone


@dataclass(slots=True, eq=False)
class _Relay:
    number: int
    name: str
    credentials: Credentials
    client: TurnClient
    preference: int
    generation: int = 0
    failures: int = 0
    reason: str = ""
    is_left: bool = False

    @property
    def relay(self) -> int:
        return self.number + self.generation * _GENERATION


class RelayPool:
    """All our relays. Datagrams of their servers go to `receive`; `wrap` is for the data plane."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._numbers = 0
        self._relays: dict[int, _Relay] = {}
        self._by_server: dict[Address, _Relay] = {}
        self._by_way: dict[int, _Relay] = {}
        self._wanted: dict[Hashable, set[str]] = {}
        self._retry: Timers[int] = Timers()
        self._outputs: deque[Output] = deque()

    def __len__(self) -> int:
        return len(self._relays)

    def add(self, server: Address, credentials: Credentials, *, name: str, is_stream: bool, now: float) -> int:
        """Ask `server` for an allocation; LocalError when there are RELAYS_MAX. The same server again: new credentials."""
        known = self._by_server.get(server)
        if known is not None:
            known.is_left = False
            self.renew(known.number, credentials, now)
            return known.number
        if len(self._relays) >= RELAYS_MAX:
            raise LocalError(f"a node has {RELAYS_MAX} relays at most")
        self._numbers = self._numbers % (_GENERATION - 1) + 1
        client = TurnClient(
            server, credentials, is_stream=is_stream, chance=self._chance, family=_family(server), both=True
        )
        relay = _Relay(self._numbers, name, credentials, client, 65_535 - 4 * self._numbers % 32_768 - 2 * is_stream)
        self._relays[relay.number] = self._by_server[server] = relay
        self._start(relay, now)
        return relay.number

    def remove(self, number: int, now: float) -> None:
        """Give an allocation back."""
        relay = self._relays.pop(number, None)
        if relay is not None:
            del self._by_server[relay.client.server]
            self._by_way.pop(relay.relay, None)
            self._retry.stop(number)
            relay.client.close(now)
            self._drain(relay, now)
            self._outputs.append(RelayGone(number, relay.relay, "the relay is no longer wanted"))

    def leave(self, number: int) -> bool:
        """Offer a relay whose server is about to go to no call, and let no check of a peer's succeed there, so that calls move
        off it; what it carries meanwhile is welcome. False when there is no other to move to, or it was left before.
        """
        relay = self._relays.get(number)
        others = (each for each in self._relays.values() if each is not relay and not each.is_left)
        if relay is None or relay.is_left or all(each.client.state is not State.READY for each in others):
            return False
        relay.is_left = True
        return True

    def is_left(self, way: Way) -> bool:
        """Whether a way passes a relay that was left."""
        relay = self._by_way.get(way[2]) if len(way) == 3 else None
        return relay is not None and relay.is_left

    def renew(self, number: int, credentials: Credentials, now: float) -> None:
        """Other credentials for a relay."""
        relay = self._relays.get(number)
        if relay is not None:
            relay.credentials = credentials
            relay.client.renew(credentials, now)
            self._drain(relay, now)

    def check(self, now: float, relay: int | None = None) -> None:
        """Ask the servers now whether they still know us: all, or the one of an allocation."""
        for each in [self._by_way.get(relay)] if relay is not None else list(self._relays.values()):
            if each is not None:
                each.client.check(now)
                self._drain(each, now)
                if each.client.state is State.LOST:
                    self._retry.set(each.number, now)

    def permit(self, owner: Hashable, hosts: Iterable[str], now: float) -> None:
        """Let `hosts` send to us through every relay, until the owner releases them."""
        wanted = self._wanted.setdefault(owner, set())
        fresh = set(hosts) - wanted
        wanted |= fresh
        for relay in self._relays.values():
            for host in sorted(fresh):
                relay.client.permit(host, now)
            self._drain(relay, now)

    def release(self, owner: Hashable) -> None:
        """What `owner` wanted is no longer wanted by it."""
        gone = self._wanted.pop(owner, set()).difference(*self._wanted.values())
        for relay in self._relays.values():
            for host in gone:
                relay.client.release(host)

    def bind(self, way: Way, now: float) -> None:
        """Media goes this way from now on: let it have a channel."""
        relay = self._by_way.get(way[2]) if len(way) == 3 else None
        if relay is not None:
            relay.client.bind((way[0], way[1]), now)
            self._drain(relay, now)

    def wrap(self, data: bytes, way: Way) -> tuple[bytes, Address] | None:
        """What carries `data` that way, and the server to send it to; None when it cannot go now."""
        relay = self._by_way.get(way[2]) if len(way) == 3 else None
        if relay is None:
            return None
        wire = relay.client.wrap(data, (way[0], way[1]))
        return None if wire is None else (wire, relay.client.server)

    def expects(self, data: bytes, source: Address) -> bool:
        """Whether a STUN datagram comes from a server of ours and is for its client."""
        relay = self._by_server.get(source)
        return relay is not None and relay.client.expects(data)

    def unwrap(self, data: bytes, source: Address, now: float) -> tuple[bytes, Way] | None:
        """The datagram in a channel's data from a server of ours, and the way it came; None for anything else."""
        relay = self._by_server.get(source)
        if relay is None:
            return None
        found = relay.client.unwrap(data)
        if found is None:
            return None
        relay.client.heard_at = now
        return found.data, (*found.peer, relay.relay)

    def receive(self, data: bytes, source: Address, now: float) -> list[tuple[bytes, Way]]:
        """Take a datagram of a server; gives what it brought from peers."""
        relay = self._by_server.get(source)
        if relay is None:
            return []
        relay.client.receive(data, source, now)
        return self._drain(relay, now)

    def candidates(self) -> list[Candidate]:
        """A candidate for each address of each allocation that is ready, and was not left."""
        ready = (each for each in self._relays.values() if each.client.state is State.READY and not each.is_left)
        return [candidate for each in ready for candidate in self._candidates(each)]

    def is_settled(self) -> bool:
        """Whether no server is being asked for an allocation, or about it, so that waiting gives no more candidates."""
        return not any(each.client.is_asking() for each in self._relays.values())

    def name_of(self, relay: int) -> str:
        """The name of the relay of an allocation."""
        found = self._by_way.get(relay)
        return "" if found is None else found.name

    def transport_of(self, relay: int) -> str:
        """`udp` or `stream`."""
        found = self._by_way.get(relay)
        return "stream" if found is not None and found.client.is_stream else "udp"

    def facts(self) -> list[dict[str, Any]]:
        """The relays for people and diagnosis."""
        return [
            {
                "number": each.number,
                "name": each.name,
                "server": address_text(each.client.server),
                "transport": self.transport_of(each.relay),
                "state": each.client.state.value,
                "relayed": address_text(each.client.relayed) if each.client.relayed else None,
                "families": sorted(each.client.relays),
                "mapped": address_text(each.client.mapped) if each.client.mapped else None,
                "rtt_ms": None if each.client.rtt is None else round(each.client.rtt * 1000, 1),
                "permissions": len(each.client.permitted),
                "reason": each.reason,
            }
            for each in self._relays.values()
        ]

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        for relay in list(self._relays.values()):
            relay.client.handle_timeout(now)
            self._drain(relay, now)
        for number in self._retry.expired(now):
            relay = self._relays[number]
            if relay.client.state is State.LOST:
                self._ask_again(relay, now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        deadlines = [each.client.poll_timeout() for each in self._relays.values()] + [self._retry.next()]
        return min((when for when in deadlines if when is not None), default=None)

    def poll_output(self) -> Output | None:
        """The next output, or None."""
        return self._outputs.popleft() if self._outputs else None

    def _start(self, relay: _Relay, now: float) -> None:
        self._by_way[relay.relay] = relay
        for host in sorted(set().union(*self._wanted.values())):
            relay.client.permit(host, now)
        relay.client.start(now)
        self._drain(relay, now)

    def _ask_again(self, relay: _Relay, now: float) -> None:
        self._by_way.pop(relay.relay, None)
        relay.generation += 1
        before = relay.client
        relay.client = TurnClient(
            before.server,
            relay.credentials,
            is_stream=before.is_stream,
            chance=self._chance,
            family=before.family,
            both=True,
        )
        self._start(relay, now)

    def _candidates(self, relay: _Relay) -> tuple[Candidate, ...]:
        """The IPv4 address is preferred: those with IPv6 on both sides hardly ever need a relay."""
        client = relay.client
        assert client.mapped is not None
        hosts = frozenset(address[0] for address in client.relays.values())
        return tuple(
            relay_candidate(relay.relay, address, client.mapped, relay.preference - later * _LATER, hosts)
            for later, (_family, address) in enumerate(sorted(client.relays.items()))
        )

    def _drain(self, relay: _Relay, now: float) -> list[tuple[bytes, Way]]:
        received: list[tuple[bytes, Way]] = []
        while (output := relay.client.poll_output()) is not None:
            match output:
                case Transmit():
                    self._outputs.append(output)
                case Received(peer, data):
                    received.append((data, (*peer, relay.relay)))
                case Allocated():
                    relay.failures, relay.reason = 0, ""
                    self._outputs.append(RelayReady(relay.number, self._candidates(relay)))
                case Lost(reason, forgotten):
                    self._outputs.append(RelayGone(relay.number, relay.relay, reason))
                    delay = min(RETRY_SECONDS * 2**relay.failures, RETRY_SECONDS_MAX)
                    relay.reason = reason
                    again_at_once = forgotten and relay.failures == 0
                    relay.failures = min(relay.failures + 1, 16)
                    wait = 0.0 if again_at_once else delay * self._chance.uniform(0.8, 1.2)
                    self._retry.set(relay.number, now + wait)
        return received


def _family(server: Address) -> int:
    """A relay that gives one address only is asked for the family that it is reached by; over a stream, for IPv4."""
    return 6 if ":" in server[0] and not is_synthetic(server[0]) else 4
