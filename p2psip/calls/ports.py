"""What calls need of the world: small protocols that the services (or an adapter in the composition root) fulfil."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import trio

from media.legs import Leg
from media.phone_dtls import DtlsPeer
from media.secure import TransportDescription
from media.srtp import SrtpKeys
from p2psip.base.core import Address
from p2psip.sip.dialog import DialogId
from p2psip.sip.dialog_table import Take
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri


class ClockPort(Protocol):
    """The two clocks: steady seconds and unix seconds."""

    def now(self) -> float:
        """Steady seconds."""

    def unix(self) -> float:
        """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a phone may register as. `secret` is HA1 (RFC 7616 §3.4.2) for `algorithm`; `address` is `user@overlay`."""

    name: str
    address: str
    algorithm: str
    secret: str


class AccountsPort(Protocol):
    """The accounts of phones."""

    def account(self, name: str) -> Account | None:
        """The account with this user name, or None."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a person is: Node-IDs (hex) of the devices that are registered now, and what the lookup cost."""

    node_ids: tuple[str, ...]
    hops: int = 0
    milliseconds: float = 0.0


class DirectoryPort(Protocol):
    """The overlay as a directory. All addresses are `user@overlay`; Node-IDs are in hex."""

    async def find(self, address: str) -> Whereabouts:
        """Where `address` can be reached; RemoteError(503) when the overlay cannot be asked."""

    async def name_exists(self, address: str) -> bool:
        """Whether anybody has this address, registered or not."""

    async def publish(self) -> None:
        """Say in the overlay that the person of this node can be reached here; the port keeps it fresh."""

    async def withdraw(self) -> None:
        """Take that back."""

    def addresses_of(self, node_id: str) -> tuple[str, ...]:
        """The addresses in the certificate of a peer that sent us a message; empty when it is not known."""


class SipPort(Protocol):
    """SIP transactions and dialogs; `p2psip.sip.service.SipService` fulfils it."""

    @property
    def incoming(self) -> trio.MemoryReceiveChannel[ServerExchange]:
        """New requests outside of dialogs."""

    def answer_at_once(self, answer: Callable[[ServerExchange], bool]) -> None:
        """Offer new requests to `answer` before they are put on `incoming`; True when it has taken one."""

    def start(self, request: Request, flow: Flow) -> ClientExchange:
        """Send a request."""

    def overlay_flow(self, node_id: str) -> Flow:
        """The flow to a node of the overlay."""

    def open_dialog(self, dialog_id: DialogId) -> trio.MemoryReceiveChannel[ServerExchange]:
        """Requests of the peer in this dialog."""

    def serve_dialog(self, dialog_id: DialogId, take: Take) -> None:
        """Give each request of the peer in this dialog to `take`."""

    def close_dialog(self, dialog_id: DialogId) -> None:
        """Forget a dialog."""

    def watch_flow(self, flow: Flow, seconds: float) -> None:
        """Close the connection of `flow` when nothing comes over it for `seconds`."""

    def instead_of(self, flow: Flow) -> Flow | None:
        """The UDP flow in whose place this node has dialled the connection `flow`; None for every other flow."""

    def follow_flows(self, successor: Callable[[Flow], tuple[Flow, SipUri] | None]) -> None:
        """Ask `successor` for another flow, and the Contact there, when one has failed."""

    def on_flow_closed(self, hook: Callable[[Flow], None]) -> None:
        """Be told when a connection has ended."""


class PhoneMedia(Leg, Protocol):
    """RTP or SRTP towards a phone. `local` is where the phone sends RTP to."""

    local: Address

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        """Where the phone says that it is, and the host that its signalling came from (for symmetric RTP)."""

    def set_keys(self, keys: SrtpKeys | None) -> None:
        """Speak SRTP with these keys; None: plain RTP. Keys that stay keep their contexts."""

    @property
    def fingerprint(self) -> str:
        """Of our DTLS certificate."""

    def set_raw(self, is_raw: bool) -> None:
        """Pass datagrams on that are no RTP (T.38 over UDPTL)."""

    def start_dtls(self, peer: DtlsPeer) -> None:
        """Find the keys of SRTP by DTLS, where `set_remote` has aimed; an association that is the same as before stays."""

    async def wait_lost(self) -> str:
        """Return the reason when DTLS has failed."""

    def path(self) -> dict[str, Any]:
        """`local`, `announced`, `heard_from`, `sent_to` as text; None for what is not known."""


class OverlayMedia(Leg, Protocol):
    """ICE and DTLS-SRTP towards another node. `description` is what the peer must be told."""

    description: TransportDescription

    def set_remote(self, remote: TransportDescription) -> None:
        """The peer's transport; checks begin. RemoteError(488) when it cannot be used."""

    async def wait_connected(self) -> None:
        """Return when media can flow; RemoteError when it never will."""

    async def wait_lost(self) -> str:
        """Return the reason when the path is gone and no restart can help any more."""

    async def wait_restart_wanted(self) -> str:
        """Return the reason when the path must be made anew: our addresses have changed, or no way works.

        Returns at once while that is so; from `restart` on it waits for the next reason.
        """

    def restart(self) -> TransportDescription:
        """Take new credentials and candidates (RFC 8839 §4.4.1); what works goes on until there is something better.

        `set_remote` with the peer's new transport follows.
        """

    def path(self) -> dict[str, Any]:
        """The way to the other node for people: `way` (None until one works), `via` (relays), `remote_address`, `rtt_ms`."""


class MediaPort(Protocol):
    """The media plane; an adapter of `media.service.MediaService` fulfils it."""

    def phone_leg(self, host: str | None = None) -> PhoneMedia:
        """Sockets for one phone on `host`; RemoteError(503) when there are none left."""

    def overlay_leg(self, *, offerer: bool) -> OverlayMedia:
        """A path to another node; the side that offers is the ICE agent in control (RFC 8445 §6.1.1)."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What calls must know about this node. `addresses` are the person's, the first one is the main one.

    `contact_host` stands in Contact where a socket is bound to every address. With `trust_registered_flows` a phone that
    has registered is not asked for its password again for each call (for phones that cannot do that). `srtp`: see
    `p2psip.calls.phone_end`. `session_seconds` is the session interval that we ask for (RFC 4028); 0 for none.
    `redirects` are patterns of the addresses that our phones may redirect their calls to. `announcement` is what a phone hears
    that dials for help in vain (16-bit samples at 8 kHz); None for nothing but the refusal.
    """

    overlay: str
    addresses: tuple[str, ...]
    node_id: str
    contact_host: str = "127.0.0.1"
    default_algorithm: str = "MD5"
    services: Sequence[str] = ("echo", "tone")
    trust_registered_flows: bool = False
    srtp: Literal["off", "offered", "required"] = "offered"
    session_seconds: int = 1_800
    redirects: Sequence[str] = ()
    announcement: "array[int] | None" = None
