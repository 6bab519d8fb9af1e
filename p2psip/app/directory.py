"""The overlay as calls see it: people by address, devices by Node-ID, SIP as messages between nodes."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from overlay.found import Found
from overlay.registration import Rendezvous
from overlay.service import OverlayService
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import node_id_of
from p2psip.calls.ports import Whereabouts
from p2psip.sip.service import SipService

NODES_MAX = 4_096

_log = logging.getLogger(__name__)


class OverlayDirectory:
    """Fulfils `p2psip.calls.ports.DirectoryPort`, and carries SIP between the SIP service and conversations."""

    def __init__(self, overlay: OverlayService, sip: SipService, addresses: Sequence[str]) -> None:
        self._overlay = overlay
        self._sip = sip
        self._addresses = tuple(addresses)
        self._own = overlay.peer.node_key.node_id
        self._nodes: OrderedDict[str, tuple[bytes, tuple[Address | Rendezvous, ...]]] = OrderedDict()
        self._certificates: OrderedDict[str, DeviceCertificate] = OrderedDict()
        overlay.on_message(self._receive)
        sip.attach_overlay(self._send)

    async def find(self, address: str) -> Whereabouts:
        """The devices of a person, ours left out."""
        return self._note(address, await self._overlay.find(address))

    async def find_again(self, address: str) -> Whereabouts:
        """The same, asked anew; RemoteError(503) when too many lookups are under way."""
        try:
            return self._note(address, await self._overlay.find_again(address))
        except LocalError as error:
            raise RemoteError(str(error), status=503) from error

    def watch(self, address: str, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook()` when the overlay says that a registration of `address` has changed; call the result to end it."""
        try:
            return self._overlay.watch(address, hook)
        except LocalError as error:
            _log.warning("changes of %s are seen later than usual: %s", address, error)
            return lambda: None

    def _note(self, address: str, found: Found) -> Whereabouts:
        node_ids: list[str] = []
        for device in found.registrations:
            speaks_for = address in device.certificate.addresses
            if speaks_for and device.node_id != self._own and device.ways:
                node_id = device.node_id.hex()
                self._nodes[node_id] = (device.node_key, device.ways)
                self._nodes.move_to_end(node_id)
                node_ids.append(node_id)
        self._forget_oldest()
        return Whereabouts(tuple(node_ids), found.hops, found.milliseconds)

    async def name_exists(self, address: str) -> bool:
        """Whether a registration or a name record was found; RemoteError(503) when there was nobody to ask."""
        found = await self._overlay.find(address)
        if not found.name_exists and not found.was_answered:
            raise RemoteError("no other node of the overlay answers: `p2psip doctor` says why", status=503)
        return found.name_exists

    async def publish(self) -> None:
        """Register this node for all addresses of its person."""
        await self._overlay.publish(self._addresses)

    async def withdraw(self) -> None:
        """Take the registration back."""
        await self._overlay.withdraw(self._addresses)

    def addresses_of(self, node_id: str) -> tuple[str, ...]:
        """The addresses in the certificate of a node that has sent us a message."""
        certificate = self._certificates.get(node_id)
        return () if certificate is None else certificate.addresses

    def _send(self, node_id: str, data: bytes) -> bool:
        """Say `data` to a node; False when we do not know it, or `data` is too large for a conversation."""
        found = self._nodes.get(node_id)
        if found is None:
            return False
        try:
            self._overlay.send_message(found[0], found[1], data)
        except LocalError:
            return False
        return True

    def _receive(self, node_key: bytes, certificate: DeviceCertificate, data: bytes) -> None:
        node_id = node_id_of(node_key).hex()
        self._nodes.setdefault(node_id, (node_key, ()))
        self._nodes.move_to_end(node_id)
        self._certificates[node_id] = certificate
        self._certificates.move_to_end(node_id)
        self._forget_oldest()
        self._sip.receive_overlay(node_id, data)

    def _forget_oldest(self) -> None:
        for table in (self._nodes, self._certificates):
            while len(table) > NODES_MAX:
                table.popitem(last=False)
