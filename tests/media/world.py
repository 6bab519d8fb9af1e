"""A network of cores on virtual time: one heap, seeded loss and latency, addresses that may be hidden or unreachable."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from media.ice.agent import IceAgent
from media.ice.candidates import local_candidate
from media.ice.events import Selected, Transmit
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.core import Transmit as Datagram

STEPS_MAX = 200_000


class AnyCore(Protocol):
    """What a world drives."""

    def receive(self, data: bytes, source: Address, now: float) -> None: ...
    def handle_timeout(self, now: float) -> None: ...
    def poll_timeout(self) -> float | None: ...
    def poll_output(self) -> Any: ...


@dataclass(eq=False)
class Host:
    """One core with its addresses. `seen_as` renames sources as a NAT does; `dead` destinations lead nowhere."""

    core: AnyCore
    addresses: Sequence[Address]
    seen_as: Mapping[Address, Address] = field(default_factory=dict)
    dead: set[Address] = field(default_factory=set)
    events: list[tuple[float, Any]] = field(default_factory=list)

    def source_for(self, destination: Address) -> Address | None:
        """The address that packets to `destination` come from."""
        own = next((each for each in self.addresses if (":" in each[0]) == (":" in destination[0])), None)
        return None if own is None else self.seen_as.get(own, own)


class World:
    """Drives its hosts; `sent` counts datagrams and `tap` may see, change or drop each of them."""

    def __init__(self, seed: int, *, loss: float = 0.0, latency: tuple[float, float] = (0.005, 0.05)) -> None:
        self.chance = Chance.seeded(seed)
        self.loss, self.latency = loss, latency
        self.now = 1_000.0
        self.hosts: list[Host] = []
        self.sent = 0
        self.tap: Callable[[Host, bytes, Address], bytes | None] = lambda _host, data, _destination: data
        self._heap: list[tuple[float, int, Host, bytes, Address]] = []
        self._number = 0

    def add(self, core: AnyCore, *addresses: Address, **more: Any) -> Host:
        """A host with these addresses; the first of a family is where it sends from."""
        self.hosts.append(Host(core, addresses, **more))
        return self.hosts[-1]

    def inject(self, host: Host, data: bytes, source: Address, delay: float = 0.0) -> None:
        """Deliver a datagram of nobody's."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + delay, self._number, host, data, source))

    def drain(self) -> None:
        """Send what all cores have to say."""
        for host in self.hosts:
            while (output := host.core.poll_output()) is not None:
                if isinstance(output, Transmit | Datagram):
                    self._send(host, output)
                else:
                    host.events.append((self.now, output))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, at most `seconds`, at most until `until` holds."""
        end = self.now + seconds
        self.drain()
        for _ in range(STEPS_MAX):
            if until():
                return
            due = [when for host in self.hosts if (when := host.core.poll_timeout()) is not None]
            when = min([*due, *(entry[0] for entry in self._heap[:1]), end + 1])
            if when > end:
                self.now = end
                return
            self.now = max(self.now, when)
            self._step()
            self.drain()
        raise AssertionError("time stands still")

    def _step(self) -> None:
        while self._heap and self._heap[0][0] <= self.now:
            _, _, host, data, source = heapq.heappop(self._heap)
            host.core.receive(data, source, self.now)
        for host in self.hosts:
            when = host.core.poll_timeout()
            if when is not None and when <= self.now:
                host.core.handle_timeout(self.now)

    def _send(self, host: Host, output: Transmit | Datagram) -> None:
        self.sent += 1
        data = self.tap(host, output.data, output.destination)
        source = host.source_for(output.destination)
        target = next((other for other in self.hosts if self._is_at(other, output.destination)), None)
        if data is None or source is None or target is None or output.destination in host.dead:
            return
        if self.chance.uniform(0, 1) >= self.loss:
            self.inject(target, data, source, self.chance.uniform(*self.latency))

    @staticmethod
    def _is_at(host: Host, destination: Address) -> bool:
        hidden = destination in host.seen_as
        return (destination in host.addresses and not hidden) or destination in host.seen_as.values()


def agent(*addresses: Address, controlling: bool = True, seed: int = 1) -> IceAgent:
    """An agent with host candidates at `addresses`, the first the most preferred."""
    local = [local_candidate("host", each, each, 65_535 - n) for n, each in enumerate(addresses)]
    return IceAgent(controlling=controlling, local=local, chance=Chance.seeded(seed))


def introduce(one: IceAgent, other: IceAgent, now: float) -> None:
    """Each learns the other's description."""
    one.set_remote(other.ufrag, other.password, [each.to_sdp() for each in other.local], now)
    other.set_remote(one.ufrag, one.password, [each.to_sdp() for each in one.local], now)


def nominated(host: Host) -> list[Address]:
    """All addresses that the host's agent concluded on, in order."""
    return [event.remote for _, event in host.events if isinstance(event, Selected) and event.nominated]
