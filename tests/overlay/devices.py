"""An overlay with an authority and enrolled devices, for the tests of records, stores and membership."""

from dataclasses import dataclass

from overlay.membership import Membership
from overlay.records import REGISTRATION, Record, make_record, registration_key
from overlay.registration import Registration, encode_registration
from p2psip.base.certificates import DeviceCertificate, create_authority, issue_device, verify_device
from p2psip.base.chance import Chance
from p2psip.base.configuration import OverlayConfiguration, sign_configuration
from p2psip.base.keys import NodeKey, SigningKey

OVERLAY = "home.example"
UNIX = 1_700_000_000


@dataclass(frozen=True)
class Device:
    """One enrolled device with all its keys."""

    node_key: NodeKey
    signing_key: SigningKey
    certificate: DeviceCertificate

    def record(
        self, sequence: int = 1, *, expiry: int = UNIX + 600, body: bytes | None = b"", **fields: object
    ) -> Record:
        """A true registration of this device, but for what `fields` say otherwise; body b"" stands for a usual one."""
        usual = encode_registration(Registration(self.node_key.public, (("192.0.2.1", 5060),)))
        kind = str(fields.get("kind", REGISTRATION))
        key = fields.get("key", registration_key(self.certificate.addresses[0]))
        assert isinstance(key, bytes)
        return make_record(
            kind,
            key,
            usual if body == b"" and kind == REGISTRATION else body,
            certificate=self.certificate,
            signing_key=self.signing_key,
            sequence=sequence,
            expiry=expiry,
        )


class Town:
    """An authority that enrols."""

    def __init__(self, seed: int = 1, overlay: str = OVERLAY) -> None:
        self.chance = Chance.seeded(seed)
        self.overlay = overlay
        self.ca_key = SigningKey.generate(self.chance)
        self.ca_der = create_authority(overlay, self.ca_key, UNIX - 1000)
        self._serial = 0

    def device(self, name: str = "alice", *, seconds: int = 86_400) -> Device:
        """A new device of this person; the number 1001 goes with it."""
        self._serial += 1
        node_key, signing_key = NodeKey.generate(self.chance), SigningKey.generate(self.chance)
        der = issue_device(
            self.ca_der,
            self.ca_key,
            signing_public=signing_key.public,
            node_id=node_key.node_id,
            addresses=(f"{name}@{self.overlay}", f"1001@{self.overlay}"),
            serial=self._serial,
            not_before=UNIX - 100,
            not_after=UNIX + seconds,
        )
        return Device(node_key, signing_key, verify_device(der, self.ca_der, UNIX))

    def configuration(self, sequence: int = 1, **bans: frozenset[int] | frozenset[bytes]) -> bytes:
        """A signed configuration."""
        return sign_configuration(OverlayConfiguration(self.overlay, sequence, UNIX, **bans), self.ca_key)  # type: ignore[arg-type]

    def membership(self) -> Membership:
        """What a node knows of this overlay."""
        return Membership(self.ca_der, self.configuration())
