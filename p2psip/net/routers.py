"""Three ways to ask the router of a home to let others in: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD (miniupnpc).

Each raises RemoteError: 504 when nobody answers, 505 when the router does not speak it, 403 when it refuses, 503 when it has no
external address itself.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import miniupnpc
import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.net import port_control
from p2psip.net.port_control import ANSWER_BYTES_MAX, NONCE_BYTES, SERVER_PORT, Granted

ANSWER_SECONDS = (0.25, 0.5, 1.0, 2.0)
DISCOVERY_MILLISECONDS = 2_000
UPNP_SECONDS_MAX = 20.0
UPNP_PORTS_TRIED_MAX = 4
PORT_FIRST, PORT_BITS = 49_152, 14
DESCRIPTION = "p2psip"
ROUTES_FILE = Path("/proc/thread-self/net/route")

_NO_ANSWER = 504
_ROUTE_UP_AND_GATEWAY = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mapping to make: "udp" or "tcp", our port, and the external port that we would like (RFC 6887 §11.1)."""

    transport: str
    internal: int
    external: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """The router that is the default route, and our own address towards it."""

    host: str
    local: str


class Router(Protocol):
    """One way to ask."""

    name: str

    async def map(self, wanted: Wanted, lifetime_seconds: int) -> Granted:
        """Make or renew a mapping."""

    async def unmap(self, wanted: Wanted) -> None:
        """Remove it."""


class PcpRouter:
    """PCP. One nonce for all mappings of this object, so that nobody else can change them (RFC 6887 §11.2)."""

    name = "PCP"

    def __init__(self, gateway: Gateway, chance: Chance, *, port: int = SERVER_PORT) -> None:
        self._gateway = gateway
        self._port = port
        self._nonce = chance.bytes(NONCE_BYTES)

    async def map(self, wanted: Wanted, lifetime_seconds: int) -> Granted:
        """Make or renew a mapping."""
        request = port_control.pcp_request(
            self._gateway.local, self._nonce, wanted.transport, wanted.internal, wanted.external, lifetime_seconds
        )
        return await _exchange(
            (self._gateway.host, self._port),
            request,
            lambda data: port_control.read_pcp(data, self._nonce, wanted.transport, wanted.internal),
        )

    async def unmap(self, wanted: Wanted) -> None:
        """Remove it (RFC 6887 §15.1)."""
        await self.map(Wanted(wanted.transport, wanted.internal, 0), 0)


class NatPmpRouter:
    """NAT-PMP."""

    name = "NAT-PMP"

    def __init__(self, gateway: Gateway, *, port: int = SERVER_PORT) -> None:
        self._address = gateway.host, port

    async def map(self, wanted: Wanted, lifetime_seconds: int) -> Granted:
        """Make or renew a mapping, and ask for the external address."""
        host = await _exchange(self._address, port_control.pmp_address_request(), port_control.read_pmp_address)
        granted = await self._request(wanted, lifetime_seconds)
        return Granted(host, granted.port, granted.lifetime_seconds)

    async def unmap(self, wanted: Wanted) -> None:
        """Remove it."""
        await self._request(Wanted(wanted.transport, wanted.internal, 0), 0)

    async def _request(self, wanted: Wanted, lifetime_seconds: int) -> Granted:
        return await _exchange(
            self._address,
            port_control.pmp_request(wanted.transport, wanted.internal, wanted.external, lifetime_seconds),
            lambda data: port_control.read_pmp(data, wanted.transport, wanted.internal),
        )


class UpnpRouter:
    """UPnP-IGD, in threads because miniupnpc blocks. A call that is cancelled leaves its thread to end by its own time-outs."""

    name = "UPnP"

    def __init__(
        self, gateway: Gateway | None, chance: Chance, *, find: Callable[[str], miniupnpc.UPnP] | None = None
    ) -> None:
        self._local = gateway.local if gateway else ""
        self._chance = chance
        self._find = find or _upnp_device
        self._device: miniupnpc.UPnP | None = None

    async def map(self, wanted: Wanted, lifetime_seconds: int) -> Granted:
        """Make or renew a mapping; another external port when the wanted one is taken."""
        others = [PORT_FIRST + self._chance.integer(PORT_BITS) for _number in range(UPNP_PORTS_TRIED_MAX - 1)]
        return await self._in_thread(
            lambda device: _upnp_map(device, wanted, [wanted.external, *others], lifetime_seconds)
        )

    async def unmap(self, wanted: Wanted) -> None:
        """Remove it."""
        await self._in_thread(lambda device: _upnp(device.deleteportmapping, wanted.external, wanted.transport.upper()))

    async def _in_thread(self, ask: Callable[[miniupnpc.UPnP], T]) -> T:
        device, self._device = self._device, None  # whoever is cancelled leaves the device to its thread

        def work() -> tuple[miniupnpc.UPnP, T]:
            found = device or self._find(self._local)
            return found, ask(found)

        with trio.move_on_after(UPNP_SECONDS_MAX):
            self._device, result = await trio.to_thread.run_sync(work, abandon_on_cancel=True)
            return result
        raise RemoteError("the router takes too long to answer UPnP", status=_NO_ANSWER)


def default_gateway() -> Gateway | None:
    """The IPv4 default route with the lowest metric, where the system tells it (Linux)."""
    try:
        lines = ROUTES_FILE.read_text().splitlines()[1:]
    except OSError:
        return None
    found = []
    for line in lines:
        _name, destination, gateway, flags, _used, _uses, metric, mask = line.split()[:8]
        if destination == mask == "00000000" and int(flags, 16) & _ROUTE_UP_AND_GATEWAY == _ROUTE_UP_AND_GATEWAY:
            found.append((int(metric), str(ipaddress.IPv4Address(bytes.fromhex(gateway)[::-1]))))
    if not found:
        return None
    host = min(found)[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, SERVER_PORT))  # sends nothing; the system chooses our address
        except OSError:
            return None
        return Gateway(host, sock.getsockname()[0])


async def _exchange(address: tuple[str, int], request: bytes, read: Callable[[bytes], T | None]) -> T:
    """Send and repeat a request until `read` knows an answer (RFC 6886 §3.1, for PCP too: a person waits for it)."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        try:
            await sock.connect(address)
            for seconds in ANSWER_SECONDS:
                await sock.send(request)
                with trio.move_on_after(seconds):
                    return await _first(sock.recv, read)
        except OSError as error:
            raise RemoteError("the router does not listen for PCP or NAT-PMP", status=_NO_ANSWER) from error
    raise RemoteError("the router does not answer to PCP or NAT-PMP", status=_NO_ANSWER)


async def _first(receive: Callable[[int], Awaitable[bytes]], read: Callable[[bytes], T | None]) -> T:
    while True:
        found = read(await receive(ANSWER_BYTES_MAX))
        if found is not None:
            return found


def _upnp(call: Callable[..., Any], *arguments: object) -> Any:
    """One call of miniupnpc, which raises bare `Exception`, and others when a device sends it rubbish."""
    try:
        return call(*arguments)
    except Exception as error:
        raise RemoteError(str(error) or "it gives no reason", status=port_control.REFUSED) from error


def _upnp_device(local: str) -> miniupnpc.UPnP:
    device = miniupnpc.UPnP(multicastif=local or None, discoverdelay=DISCOVERY_MILLISECONDS)
    try:
        found = _upnp(device.discover)
        _upnp(device.selectigd)
    except RemoteError as error:
        raise RemoteError("no router that knows UPnP port mapping answers", status=_NO_ANSWER) from error
    if not found:
        raise RemoteError("no router answers to UPnP", status=_NO_ANSWER)
    return device


def _upnp_map(device: miniupnpc.UPnP, wanted: Wanted, ports: list[int], lifetime_seconds: int) -> Granted:
    """Renew, or take the first of `ports` that is free; for ever where the router knows no lifetimes."""
    transport, local = wanted.transport.upper(), device.lanaddr
    host = str(_upnp(device.externalipaddress))
    refusal = RemoteError("the external port is taken", status=port_control.REFUSED)
    for port in ports:
        there = _upnp(device.getspecificportmapping, port, transport)
        if there is not None and tuple(there[:2]) != (local, wanted.internal):
            continue
        for lifetime in (lifetime_seconds, 0):
            try:
                _upnp(device.addportmapping, port, transport, local, wanted.internal, DESCRIPTION, "", lifetime)
                return Granted(host, port, lifetime or lifetime_seconds)
            except RemoteError as error:
                refusal = error
    raise refusal
