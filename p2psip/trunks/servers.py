"""The servers of one provider: found by RFC 3263, in the order to try them, and which of them want to be left alone."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.naming.routing import Hop
from p2psip.sip.uri import SipUri

HOPS_MAX = 8
HOSTS_MAX = 32


class ClockPort(Protocol):
    """The two clocks."""

    def now(self) -> float:
        """Steady seconds."""

    def unix(self) -> float:
        """Seconds since 1970."""


class LocatorPort(Protocol):
    """RFC 3263 for one URI; `p2psip.app.resolving.Resolver` fulfils it."""

    async def locate(self, uri: SipUri) -> Sequence[Hop]:
        """The servers in the order to try them; RemoteError in words when there are none."""


class Servers:
    """Of the provider at `uri`. `working` is the one that answered last; its owner sets it."""

    def __init__(self, uri: SipUri, locator: LocatorPort, clock: ClockPort) -> None:
        self._uri = uri
        self._locator = locator
        self._clock = clock
        self._hosts: OrderedDict[str, None] = OrderedDict()
        self._resting: OrderedDict[Address, float] = OrderedDict()
        self.working: Hop | None = None

    async def hops(self) -> list[Hop]:
        """All in the order to try them, the working one before the others; RemoteError when there are none."""
        found = await self.located(self._uri)
        self._note_hosts(found)
        if self.working in found:
            found.remove(self.working)
            found.insert(0, self.working)
        return found

    async def willing(self) -> list[Hop]:
        """Those of `hops` that do not want to be left alone for a while; RemoteError when all do."""
        now = self._clock.now()
        found = await self.hops()
        willing = [hop for hop in found if self._resting.get(hop.address, now) <= now]
        if not willing:
            seconds = min(self._resting[hop.address] for hop in found) - now
            raise RemoteError(f"its servers want no calls for {seconds:.0f} s", status=503)
        return willing

    async def located(self, uri: SipUri) -> list[Hop]:
        """The servers of any URI; RemoteError when there are none."""
        found = list(await self._locator.locate(uri))[:HOPS_MAX]
        if not found:
            raise RemoteError(f"no server of {uri.host} was found", status=503)
        return found

    def includes(self, host: str) -> bool:
        """Whether the provider may call from `host`: a name that leads elsewhere by now did lead there a moment ago."""
        return host in self._hosts

    def rest(self, server: Address, seconds: int) -> None:
        """No calls to `server` for so long: it has said Retry-After (RFC 3261 §21.5.4)."""
        self._resting[server] = self._clock.now() + seconds
        self._resting.move_to_end(server)
        while len(self._resting) > HOSTS_MAX:
            self._resting.popitem(last=False)

    def _note_hosts(self, hops: Sequence[Hop]) -> None:
        for hop in hops:
            self._hosts[hop.address[0]] = None
            self._hosts.move_to_end(hop.address[0])
        while len(self._hosts) > HOSTS_MAX:
            self._hosts.popitem(last=False)
