"""No honest node holds a record that its author did not sign, or may not write there."""

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from overlay.records import MAILBOX, NAME, REGISTRATION, RELAY, Record, own_relay_keys, registration_key
from p2psip.base.certificates import fingerprint
from p2psip.base.codec import pack
from simulations.checker import Checker
from simulations.enrolment import Device

if TYPE_CHECKING:
    from simulations.run import Run

NODES_EACH = 20


class NoForgery(Checker):
    """Looks into the stores of some nodes at a time, by what the world knows of its devices, not by the overlay's verifier."""

    name = "no-forgery"

    def __init__(self, *, every: float = 60.0) -> None:
        super().__init__()
        self.every = every
        self.seen = 0
        self._devices: dict[bytes, Device] = {}
        self._known = 0
        self._good: set[bytes] = set()

    def start(self, run: "Run") -> None:
        """The run whose first swarm is watched."""
        self._run, self._chance = run, run.chance.child("no forgery")

    def inspect(self, now: float) -> None:
        """Look into some stores."""
        swarm = self._run.swarms[0]
        for node in swarm.nodes[self._known :]:
            self._devices[node.device.certificate.der] = node.device
        self._known = len(swarm.nodes)
        for node in swarm.alive.sample(self._chance, NODES_EACH):
            if not node.hostile:
                for record in node.core.peer.store.records(swarm.world.unix):
                    self._judge(node.number, record)

    def finish(self, now: float) -> None:
        """A checker that saw nothing has shown nothing."""
        self._run.figure("records examined for forgery", self.seen)
        if not self.seen:
            self.fail("no record was held: nothing is shown")

    def _judge(self, holder: int, record: Record) -> None:
        self.seen += 1
        if record.signature in self._good:
            return
        device = self._devices.get(record.certificate)
        if device is None:
            self.fail(f"node {holder} holds a {record.kind} of a device that was never enrolled")
        elif not _may_write(record, device):
            self.fail(f"node {holder} holds a {record.kind} that {device.certificate.user} may not write there")
        elif not _is_signed(record, device):
            self.fail(f"node {holder} holds a {record.kind} whose signature is not that of {device.certificate.user}")
        else:
            self._good.add(record.signature)


def _may_write(record: Record, device: Device) -> bool:
    if record.kind in (REGISTRATION, NAME):
        return record.key in map(registration_key, device.certificate.addresses)
    if record.kind == RELAY:
        return record.key in own_relay_keys(device.certificate.overlay, device.node_key.node_id)
    return record.kind == MAILBOX


def _is_signed(record: Record, device: Device) -> bool:
    author = fingerprint(record.certificate)
    said = [device.certificate.overlay, record.kind, record.key, author, record.sequence, record.expiry, record.body]
    key = Ed25519PublicKey.from_public_bytes(device.signing_key.public)
    try:
        key.verify(record.signature, b"p2psip record 1\x00" + pack(said))
    except InvalidSignature:
        return False
    return True
