"""What calls need of the world outside the overlay: who calls from there, where to call there, what a line adds to a call.

`p2psip.trunks` fulfils it; `NothingOutside` is a node without any of that.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.naming.routing import Route, Step
from p2psip.sip.credentials import Credentials
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri


class Line(Protocol):
    """One call over a trunk, and what the provider at its other end wants."""

    name: str
    credentials: Credentials | None
    codecs: tuple[str, ...]
    silent_seconds: float

    def contact(self, flow: Flow) -> str:
        """Our Contact value, with an address that the provider can use."""

    def announced_host(self, flow: Flow) -> str | None:
        """The address that session descriptions name in the place of our own; None for our own."""

    def present(
        self, address: str, account: str | None, request: Request
    ) -> tuple[NameAddr, tuple[tuple[str, str], ...]]:
        """From (without tag) and further header fields of an INVITE for the provider, for a caller of ours."""

    def may_redirect(self, uri: SipUri | OtherUri) -> bool:
        """Whether a redirection (RFC 3261 §21.3) to `uri` may be followed."""

    def note_failed(
        self, status: int, words: str, *, server: Address | None = None, refusal: Response | None = None
    ) -> None:
        """The provider did not take the call: 408 and 503 speak against its health, Retry-After keeps calls from `server`."""

    def note_answered(self) -> None:
        """The call was answered: its time counts from now."""

    def more_seconds(self) -> float | None:
        """How long the answered call may go on before this is asked again: 0 ends it, None is for ever."""

    def close(self) -> None:
        """The call is over, or never came to be; may be said twice."""


@dataclass(frozen=True, slots=True)
class OutsideTarget:
    """One server of a route: where to send the INVITE for `uri`, and over which line."""

    uri: str
    flow: Flow
    line: Line | None
    name: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that came from a provider: the line of the call, the caller as shown, and whom it is for."""

    line: Line
    caller: str
    display: str | None
    callee: str


class OutsidePort(Protocol):
    """Dial plan, DNS and trunks as calls need them. `reaches_out`: whether addresses beyond the overlay may be dialled;
    `is_offered`: whether other members must find this node for its trunks.
    """

    reaches_out: bool
    is_offered: bool

    def admit(self, flow: Flow) -> None:
        """RemoteError(403) for what came to a socket, or over a connection, that leads outside, but not from a provider."""

    def arrival(self, request: Request, flow: Flow) -> Arrival | None:
        """What a provider wants of us, or None when `flow` leads to no provider; RemoteError says what it is told."""

    def is_provider(self, flow: Flow) -> bool:
        """Whether a provider is at the other end of `flow`."""

    def may_use(self, member: str, address: str) -> bool:
        """Whether another member of the overlay may call `address` over a trunk of ours.

        False when that is no number; RemoteError(403) when it is one and no trunk is offered to them.
        """

    def steps(self, dialled: str, caller: str) -> AsyncIterator[Step]:
        """The stages that the dial plan has for `dialled`, one after the other; none where there is no plan."""

    def targets(self, route: Route, caller: str, member: str | None) -> AsyncIterator["OutsideTarget | RemoteError"]:
        """The servers of a route, in order, each connected when it is asked for; an error in the place of one that is not.

        `member` is set when another member of the overlay calls over our trunk.
        """

    def redirected(self, line: Line, uri: SipUri | OtherUri) -> AsyncIterator["OutsideTarget | RemoteError"]:
        """The servers of a redirection that `line` may follow."""


class NothingOutside:
    """A node that knows nobody outside."""

    reaches_out = False
    is_offered = False

    def admit(self, flow: Flow) -> None:
        """There are no such sockets."""

    def arrival(self, request: Request, flow: Flow) -> Arrival | None:
        """Nobody."""
        return None

    def is_provider(self, flow: Flow) -> bool:
        """Nobody is."""
        return False

    def may_use(self, member: str, address: str) -> bool:
        """Nobody may."""
        return False

    async def steps(self, dialled: str, caller: str) -> AsyncIterator[Step]:
        """None."""
        nothing: tuple[Step, ...] = ()
        for step in nothing:
            yield step

    async def targets(
        self, route: Route, caller: str, member: str | None
    ) -> AsyncIterator["OutsideTarget | RemoteError"]:
        """None."""
        nothing: tuple[OutsideTarget, ...] = ()
        for target in nothing:
            yield target

    async def redirected(self, line: Line, uri: SipUri | OtherUri) -> AsyncIterator["OutsideTarget | RemoteError"]:
        """None."""
        nothing: tuple[OutsideTarget, ...] = ()
        for target in nothing:
            yield target
