"""What every call works with: the ports, the clock, chance, the settings, and the ways to name this node in SIP."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.calls.announcing import Announcing
from p2psip.calls.call_log import CallLog
from p2psip.calls.ends import MediaEnd, OverlayEnd
from p2psip.calls.incidents import Incidents
from p2psip.calls.outside import Line
from p2psip.calls.phone_end import PhoneEnd
from p2psip.calls.phone_security import SrtpPolicy
from p2psip.calls.ports import CallSettings, ClockPort, MediaPort, SipPort
from p2psip.calls.web_end import WebEnd, is_web
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.uri import SipUri

UNSPECIFIED = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Party:
    """Who sent a request: the address that was proved, the name to display, the flow, and the phone's account.

    Of a "trunk" (a provider) and a "stranger" (the open SIP world) the address is what was claimed. `for_stranger` is the
    address that a stranger claims whose call a phone leads on.
    """

    address: str
    display: str | None
    flow: Flow
    account: str | None = None
    kind: Literal["phone", "node", "trunk", "stranger"] = "phone"
    line: Line | None = None
    for_stranger: str = ""

    @property
    def serves_stranger(self) -> bool:
        """Whether what it calls is for somebody of the open SIP world, at whose wish nobody here shall pay."""
        return bool(self.stranger)

    @property
    def stranger(self) -> str:
        """What the stranger claims to be for whom it calls; "" for nobody."""
        return self.address if self.kind == "stranger" else self.for_stranger

    @property
    def is_node(self) -> bool:
        """Whether it is another node of the overlay."""
        return self.flow.transport == OVERLAY

    def name_addr(self, tag: str) -> NameAddr:
        """The From value that others see."""
        return NameAddr(self.display, SipUri.of_address(self.address)).with_tag(tag)


def _take_nothing(exchange: ServerExchange) -> None:
    raise RemoteError(f"{exchange.request.method} is not served within a call", status=405)


@dataclass(frozen=True, slots=True)
class Equipment:
    """The ports and values that a call is given. `take` is handed requests of a call that concern others too (REFER)."""

    sip: SipPort
    media: MediaPort
    clock: ClockPort
    chance: Chance
    settings: CallSettings
    addresses: Addresses
    log: CallLog
    announcing: Announcing
    incidents: Incidents = field(default_factory=Incidents)
    take: Callable[[ServerExchange], None] = _take_nothing

    def contact(self, address: str, flow: Flow, line: Line | None = None) -> str:
        """Our Contact value towards the other end of `flow`, with the user part of `address`; of a provider on `line`, its own."""
        if line is not None:
            return line.contact(flow)
        uri = SipUri.of_address(address)
        if flow.transport == OVERLAY:
            return f"<{SipUri('sip', uri.user, None, self.settings.overlay, None)}>"
        host = self.settings.contact_host if flow.local[0] in UNSPECIFIED else flow.local[0]
        host = f"[{host}]" if ":" in host else host
        transport = () if flow.transport == "udp" else (("transport", flow.uri_transport),)
        return f"<{SipUri('sip', uri.user, None, host, flow.local[1] or None, transport)}>"

    def media_end(self, flow: Flow, line: Line | None = None, offer: bytes = b"") -> MediaEnd:
        """A media end of the kind that fits the other end of `flow`, a provider on `line` if there is one, and what it offers."""
        if flow.transport == OVERLAY:
            return OverlayEnd(self.media, self.chance)
        if line is None and is_web(flow, offer):
            return WebEnd(self.media, self.chance)
        host = None if flow.local[0] in UNSPECIFIED else flow.local[0]
        policy = SrtpPolicy.towards(flow, self.settings.srtp, is_phone=line is None)
        announced = None if line is None else line.announced_host(flow)
        return PhoneEnd(
            self.media, self.chance, signalling_host=flow.remote[0], host=host, policy=policy, announced=announced
        )

    def tag(self) -> str:
        """A fresh tag."""
        return self.chance.token(8)

    def call_id(self) -> str:
        """A fresh Call-ID; it names no host."""
        return self.chance.token(16)


def name_of(flow: Flow, who: str = "") -> str:
    """What a ladder calls the other end of `flow`."""
    return f"node {flow.remote[0][:8]}" if flow.transport == OVERLAY else f"phone {who}".strip()


def caller_name(caller: Party) -> str:
    """What a ladder calls the end that a call came from: a stranger is no phone, and neither is a provider."""
    if caller.line is not None:
        return caller.line.name
    if caller.kind != "stranger":
        return name_of(caller.flow, caller.account or "")
    return f"{name_of(caller.flow)} for a stranger" if caller.is_node else f"stranger {caller.flow.remote[0]}"
