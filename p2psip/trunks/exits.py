"""UDP sockets of our own towards servers outside, one for each family: the sockets for phones may be on loopback only."""

from typing import Protocol

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.flow import Flow
from p2psip.sip.sockets import local_address_towards


class Listening(Protocol):
    """What sockets are made of; `p2psip.sip.service.SipService` fulfils it."""

    async def listen_udp(self, host: str, port: int) -> Address:
        """Receive datagrams; the address that is bound."""


class UdpExit:
    """Opened when first needed, on (`host`, `port`); the IPv4 wildcard stands for that of IPv6, too."""

    def __init__(self, sip: Listening, host: str = "0.0.0.0", port: int = 0) -> None:
        self._sip = sip
        self._host = host
        self._port = port
        self._sockets: dict[bool, Address] = {}

    async def flow(self, remote: Address) -> Flow:
        """The flow to `remote` over it; RemoteError(503) when there is no socket or no route."""
        is_ipv6 = ":" in remote[0]
        if is_ipv6 not in self._sockets:
            host = "::" if is_ipv6 and self._host == "0.0.0.0" else self._host
            try:
                self._sockets[is_ipv6] = await self._sip.listen_udp(host, self._port)
            except OSError as error:
                raise RemoteError(f"no UDP socket on {host} port {self._port}: {error.strerror}", status=503) from error
        bound = self._sockets[is_ipv6]
        local = local_address_towards(remote) if bound[0] in ("0.0.0.0", "::") else bound[0]
        if local is None:
            raise RemoteError(f"no route to {remote[0]}", status=503)
        return Flow("udp", (local, bound[1]), remote)

    def owns(self, flow: Flow) -> bool:
        """Whether `flow` is over one of its sockets."""
        return flow.transport == "udp" and any(flow.local[1] == bound[1] for bound in self._sockets.values())
