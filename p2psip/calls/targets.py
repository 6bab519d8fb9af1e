"""Where a request goes: this node's phones, its services, or the devices of somebody in the overlay."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.calls.bindings import Binding, BindingTable
from p2psip.calls.equipment import Party, name_of
from p2psip.calls.outside import Line, NothingOutside, OutsidePort
from p2psip.calls.ports import CallSettings, ClockPort, DirectoryPort, SipPort, Whereabouts
from p2psip.naming.countries import EMERGENCY_SOMEWHERE
from p2psip.naming.routing import Step
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import OtherUri, SipUri

DEVICES_MAX = 8


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send a request to. `address` goes into To; `name` is for people; over `line`, if that is a provider."""

    address: str
    uri: SipUri
    flow: Flow
    name: str
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which phones of somebody a request is for: one `device` (RFC 5627), those with TLS only (sips, RFC 3261 §26.2.2), or all."""

    device: str | None = None
    secure: bool = False

    @classmethod
    def by(cls, uri: SipUri | OtherUri) -> "Wanted":
        """What a Request-URI asks for."""
        if isinstance(uri, OtherUri):
            return cls()
        return cls((uri.parameter("gr") or "").lower() or None, uri.scheme == "sips")

    def uri(self, address: str) -> SipUri:
        """The Request-URI for another node, which looks for the same phones."""
        uri = replace(SipUri.of_address(address), scheme="sips" if self.secure else "sip")
        return uri if self.device is None else uri.with_parameter("gr", self.device)


ALL_PHONES = Wanted()


class Router:
    """Turns addresses into targets."""

    def __init__(
        self,
        *,
        settings: CallSettings,
        addresses: Addresses,
        table: BindingTable,
        directory: DirectoryPort,
        sip: SipPort,
        clock: ClockPort,
    ) -> None:
        self._settings = settings
        self._addresses = addresses
        self._table = table
        self._directory = directory
        self._sip = sip
        self._clock = clock
        self.outside: OutsidePort = NothingOutside()

    def steps(self, address: str, invite: Request, sender: Party) -> AsyncIterator[Step]:
        """The stages that the dial plan has for what `sender` dialled; none where there is no plan, or for a provider."""
        if sender.kind in ("trunk", "stranger"):
            return NothingOutside().steps("", "")
        is_ours = self._addresses.of_ours(invite.uri) is not None
        return self.outside.steps(f"sip:{address}" if is_ours else str(invite.uri), sender.address)

    def address_of(self, request: Request, sender: Party) -> str:
        """Whom a request is for; RemoteError(404) when that is nobody of this overlay (or, for a node, not here).

        A phone of ours may dial what the dial plan has a way for, and a member what our trunks are offered for.
        """
        address = self._addresses.of_ours(request.uri)
        if address is None and not sender.is_node and self.outside.reaches_out and isinstance(request.uri, SipUri):
            return request.uri.address
        if address is None or address.startswith("@") or "@" not in address:
            raise RemoteError(f"only people of {self._settings.overlay} can be reached from here", status=404)
        may_pass = sender.kind == "node" and self.outside.may_use(sender.address, address)
        if sender.is_node and not self._addresses.is_own(address) and not may_pass:
            raise RemoteError(f"{address} does not live on this node", status=404)
        return address

    def is_service(self, address: str, sender: Party) -> bool:
        """Whether the node itself answers at `address`; only its own phones may ask."""
        return not sender.is_node and address.partition("@")[0] in self._settings.services

    def local(self, address: str, sender: Party, wanted: Wanted = ALL_PHONES) -> list[Target]:
        """The phones of this node that ring for `address`, but not the one that asks."""
        now = self._clock.now()
        bindings = self._table.ringing(self._addresses.main(address), now, wanted.device)
        if not bindings and not sender.is_node and wanted.device is None:
            bindings = self._table.ringing_account(address.partition("@")[0], now)
        return [
            _phone(binding, address)
            for binding in bindings
            if binding.flow != sender.flow and (binding.flow.is_secure or not wanted.secure)
        ]

    def binding_of(self, target: Target) -> Binding | None:
        """The phone of this node that `target` is; None when it is somebody else."""
        phones = (each for each in self._table if each.flow == target.flow)
        return next((each for each in phones if name_of(each.flow, each.account) == target.name), None)

    def needs_lookup(self, address: str, sender: Party, found_here: bool) -> bool:
        """Whether other devices may be asked too: never for what came from another node (nodes do not forward)."""
        return not sender.is_node and (self._addresses.is_own(address) or not found_here)

    async def remote(self, address: str, wanted: Wanted = ALL_PHONES) -> tuple[list[Target], Whereabouts]:
        """The devices of `address` elsewhere."""
        found = await self._directory.find(address)
        others = [node_id for node_id in found.node_ids if node_id != self._settings.node_id]
        uri = wanted.uri(address)
        targets = [
            Target(address, uri, flow, name_of(flow)) for flow in map(self._sip.overlay_flow, others[:DEVICES_MAX])
        ]
        return targets, found

    async def why_nobody(self, address: str) -> RemoteError:
        """Nobody can be reached: 480 for a name that exists, 404 for one that does not, 503 for who dials for help in vain."""
        if self._addresses.is_own(address) or await self._directory.name_exists(address):
            return RemoteError(f"no phone of {address} is registered now", status=480)
        if may_be_emergency(address):
            number = address.partition("@")[0]
            return RemoteError(f"{number} cannot be called from here: use another telephone", status=503)
        return RemoteError(f"nobody in this overlay is called {address}", status=404)


def may_be_emergency(address: str) -> bool:
    """Whether the name in `address` is an emergency number anywhere."""
    return address.partition("@")[0] in EMERGENCY_SOMEWHERE


def _phone(binding: Binding, address: str) -> Target:
    """The Contact as Request-URI, without what may not stand there (RFC 3261 §19.1.1)."""
    return Target(address, replace(binding.contact, headers=()), binding.flow, name_of(binding.flow, binding.account))
