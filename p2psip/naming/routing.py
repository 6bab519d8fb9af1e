"""What resolution gives to calls: steps with reasons, routes, and the hops of a route. Values only.

URIs are text here, because a core imports no other core; `p2psip.sip.uri.SipUri.parse` takes every one that is given.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from p2psip.base.core import Address

StageName = Literal["local", "overlay", "enum", "domain", "trunk"]
StepName = Literal["local", "overlay", "enum", "domain", "trunk", "refused"]
Transport = Literal["udp", "tcp", "tls", "ws", "wss"]

STAGES: tuple[StageName, ...] = ("local", "overlay", "enum", "domain", "trunk")


@dataclass(frozen=True, slots=True)
class Hop:
    """One server to try: an address, and the name that its certificate must show (RFC 5922; "" for none)."""

    transport: Transport
    address: Address
    host: str


@dataclass(frozen=True, slots=True)
class Route:
    """One way for a request. Its hops are tried in order (RFC 3263 §4.3).

    `uri` is the Request-URI. Of "local" and "overlay" it is `sip:name@overlay`, and there are no hops: the router knows the
    phones and nodes. Of "trunk", either `trunk` is the name of a trunk of this node, or `via` is the address in the overlay
    whose node has the trunk; then the request goes there as it stands and there are no hops either. No cap holds for
    what `is_emergency`.
    """

    stage: StageName
    uri: str
    hops: tuple[Hop, ...] = ()
    trunk: str | None = None
    via: str | None = None
    is_emergency: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one stage: who or what was asked, the reason of the outcome in words, and the routes found.

    `status` is the SIP status that tells a caller of this step, if it is the last one: 403 and 404 for what is refused or
    exists nowhere, 503 and 504 for what may work later; None where there are routes. `trail` is how it came about, line by
    line, for who wants to know more. `is_emergency`: an emergency number was dialled.
    """

    stage: StepName
    what: str
    reason: str
    found: tuple[Route, ...] = ()
    status: int | None = None
    trail: tuple[str, ...] = ()
    is_emergency: bool = False


class ResolverPort(Protocol):
    """Resolution as calls need it; `p2psip.app.resolving.Resolver` fulfils it."""

    def routes(self, target: str, caller: str) -> AsyncIterator[Step]:
        """The steps for `target` (a SIP, SIPS or tel URI as text), asked by `caller` (`user@host`), one after the other.

        The next stage is asked only when the iterator is: a caller whose call was answered stops asking. What a plan
        forbids is one step "refused", and nothing follows it.
        """


class NoResolver:
    """Resolution of a node that asks nobody outside: no steps at all."""

    async def routes(self, target: str, caller: str) -> AsyncIterator[Step]:
        """Nothing."""
        nothing: tuple[Step, ...] = ()
        for step in nothing:
            yield step
