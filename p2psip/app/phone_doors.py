"""Where phones come in: UDP and TCP on one port, TLS, WebSocket and secure WebSocket on ports of their own (`[sip]`).

The certificate for TLS is the operator's, or one by the node's own authority for phones (`p2psip.app.phone_authority`).
"""

import ipaddress
import logging
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ifaddr
import trio

from p2psip.app.phone_authority import PhoneAuthority
from p2psip.app.settings import SettingsError, SipSettings
from p2psip.app.state import StateError
from p2psip.base.core import Address, address_text
from p2psip.calls.ports import ClockPort
from p2psip.net.tls import listening_context, why_unusable
from p2psip.sip.connections import Door

BIND_ATTEMPTS_MAX = 16
CERTIFICATE_LOOK_SECONDS = 3_600.0

_log = logging.getLogger(__name__)


class SipListeners(Protocol):
    """What doors are made of: `p2psip.sip.service.SipService`."""

    async def listen_udp(self, host: str, port: int) -> Address:
        """Receive datagrams."""

    def close_udp(self, bound: Address) -> None:
        """Receive them no more."""

    async def listen_door(self, host: str, port: int, door: Door) -> Address:
        """Accept connections."""


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """One door: what is spoken there ("udp", "tcp", "tls", "ws", "wss"), and what to type into a phone."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        where = address_text((self.host, self.port))
        return f"{self.transport}://{where}/" if self.transport in ("ws", "wss") else where


class PhoneDoors:
    """All doors of one node. `home` is where certificates are kept; without it there is no TLS."""

    def __init__(
        self, sip: SipListeners, settings: SipSettings, *, overlay: str, home: Path | None, clock: ClockPort
    ) -> None:
        self._sip = sip
        self._settings = settings
        self._overlay = overlay
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._loaded: tuple[float, ...] = ()
        self.authority = None if home is None or settings.certificate else PhoneAuthority(home, overlay)
        self.doors: list[OpenDoor] = []

    async def open(self) -> Address:
        """Open what the settings name; where phones register over UDP and TCP. SettingsError and OSError say what to change."""
        settings = self._settings
        if settings.tls_port or settings.wss_port:
            self._context = self._load_certificate()
        number = settings.port
        for host in (settings.host, *settings.more_hosts):
            shown = address_for_phones(host)
            number = await self._open_first(host, number)
            self.doors += [OpenDoor("udp", shown, number), OpenDoor("tcp", shown, number)]
            for transport, port in (("tls", settings.tls_port), ("ws", settings.ws_port), ("wss", settings.wss_port)):
                if port:
                    context = self._context if transport in ("tls", "wss") else None
                    await self._sip.listen_door(host, port, Door(transport, context))
                    self.doors.append(OpenDoor(transport, shown, port))
        first = self.doors[0]
        return first.host, first.port

    async def run(self) -> None:
        """Renew the certificate before it runs out, when our addresses change, or when its file does; until cancelled."""
        while self._context is not None:
            await trio.sleep(CERTIFICATE_LOOK_SECONDS)
            try:
                self._load_certificate()
            except (SettingsError, StateError) as error:
                _log.error("phones are shown the old certificate: %s", error)

    def as_json(self) -> list[dict[str, Any]]:
        """All doors for scripts: `transport`, `host`, `port`."""
        return [{"transport": each.transport, "host": each.host, "port": each.port} for each in self.doors]

    def in_brief(self) -> list[str]:
        """All doors in few words, for `p2psip status`."""
        doors = []
        for door in self.doors:
            match door.transport:
                case "udp":
                    doors.append(f"{door} (UDP, TCP)")
                case "tls":
                    doors.append(f"{door} (TLS)")
                case "ws" | "wss":
                    doors.append(str(door))
        return doors

    def in_words(self) -> list[str]:
        """What to type into a phone, a line for each door."""
        lines = []
        for door in self.doors:
            match door.transport:
                case "udp":
                    lines.append(f"Phones register at {door} (UDP or TCP), domain {self._overlay}")
                case "tls":
                    lines.append(f"Phones with encryption register at {door} (TLS), domain {self._overlay}")
                case "ws" | "wss":
                    lines.append(f"Phones in browsers register at {door}, domain {self._overlay}")
        if self._context is not None and self.authority is not None:
            lines.append(f"Encryption needs a phone that trusts {self.authority.certificate_file} (`p2psip phone ca`)")
        return lines

    async def _open_first(self, host: str, wanted: int) -> int:
        """UDP and TCP on the same number, which is given back."""
        for attempt in range(BIND_ATTEMPTS_MAX):
            bound = await self._sip.listen_udp(host, wanted)
            try:
                await self._sip.listen_door(host, bound[1], Door("tcp"))
            except OSError:
                if wanted or attempt == BIND_ATTEMPTS_MAX - 1:
                    raise
                self._sip.close_udp(bound)
            else:
                break
        return bound[1]

    def _load_certificate(self) -> ssl.SSLContext:
        """The context with the certificate as it is now; one that listeners use already takes the new one."""
        if self.authority is not None:
            hosts = (self._settings.host, *self._settings.more_hosts)
            self.authority.certify(_names(), addresses_named(hosts), self._clock.unix())
            certificate, key = self.authority.server_file, None
        elif self._settings.certificate is not None:
            certificate, key = self._settings.certificate, self._settings.key
        else:
            raise SettingsError("[sip] tls_port and wss_port need a folder for certificates, or a certificate")
        try:
            changed = tuple(path.stat().st_mtime for path in (certificate, key) if path is not None)
            if self._context is None:
                self._context = listening_context(certificate, key)
                self._context.num_tickets = 0  # sipsak takes the tickets of TLS 1.3 for the end of the connection
            elif changed != self._loaded:
                # Fails for a bad pair, which would leave the one in use without a key.
                listening_context(certificate, key)
                self._context.load_cert_chain(certificate, key, password=lambda: "none")
        except OSError as error:  # ssl.SSLError is one
            words = f"[sip] certificate {certificate} and key {key or certificate} cannot be used"
            raise SettingsError(f"{words}: {why_unusable(certificate, key)}") from error
        self._loaded = changed
        return self._context


def address_for_phones(host: str) -> str:
    """What to type into a phone when the node listens on `host`: where it listens everywhere, our address on the way out."""
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    family, outside, loopback = (
        (socket.AF_INET6, "2001:db8::1", "::1") if ":" in host else (socket.AF_INET, "192.0.2.1", "127.0.0.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((outside, 9))  # sends nothing: the kernel only chooses a route
        except OSError:
            return loopback
        return str(sock.getsockname()[0])


def addresses_named(hosts: tuple[str, ...]) -> list[str]:
    """The addresses at which phones may reach a node that listens on `hosts`; "everywhere" is all addresses of the machine."""
    found: list[str] = []
    for host in hosts:
        if not ipaddress.ip_address(host).is_unspecified:
            found.append(host)
            continue
        for adapter in ifaddr.get_adapters():
            for each in adapter.ips:
                text = each.ip if isinstance(each.ip, str) else each.ip[0]
                address = ipaddress.ip_address(text.partition("%")[0])
                if not address.is_link_local and (address.version == 6) == (":" in host):
                    found.append(str(address))
    return list(dict.fromkeys(found))


def _names() -> list[str]:
    """The machine's own name, where it can stand in a certificate."""
    name = socket.gethostname().lower()
    is_plain = name.isascii() and name.replace("-", "").replace(".", "").isalnum() and len(name) <= 64
    return ["localhost", name] if is_plain and name != "localhost" else ["localhost"]
