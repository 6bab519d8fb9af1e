"""The bootstrap server of a simulated overlay: the authority of production with its rows in memory, and whom it introduces."""

from dataclasses import dataclass

from bootstrap.authority import Authority
from overlay.membership import Membership
from p2psip.base.certificates import DeviceCertificate, certificate_request, verify_device
from p2psip.base.chance import Chance
from p2psip.base.keys import NodeKey, SigningKey
from simulations.ledger import MemoryLedger

OVERLAY = "sim.example"


@dataclass(frozen=True, slots=True)
class Device:
    """One enrolled device with all its keys."""

    node_key: NodeKey
    signing_key: SigningKey
    certificate: DeviceCertificate


class Enrolment:
    """Issues device certificates: one account per person, any number of devices."""

    def __init__(self, chance: Chance, unix: float, overlay: str = OVERLAY) -> None:
        self._chance = chance
        self.unix = unix
        self.authority = Authority.create(MemoryLedger(), overlay, unix=unix - 60, chance=chance.child("authority"))
        self._configuration = self.authority.configuration()

    @property
    def overlay(self) -> str:
        """The overlay's name."""
        return self.authority.overlay

    def device(self, person: str, *, node_key: NodeKey | None = None) -> Device:
        """A new device of the person with this user name; `node_key` if the device chose its own."""
        node_key = node_key or NodeKey.generate(self._chance)
        signing_key = SigningKey.generate(self._chance)
        request = certificate_request(signing_key, node_key)
        der = self.authority.admit(person, request, unix=self.unix)
        return Device(node_key, signing_key, verify_device(der, self.authority.ca_der, self.unix))

    def membership(self) -> Membership:
        """What a node knows of the overlay when it starts."""
        return Membership(self.authority.ca_der, self._configuration)
