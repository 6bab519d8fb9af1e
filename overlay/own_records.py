"""The records that a node signs for itself, each with a higher sequence than all before, whatever its clock says.

Sequences are milliseconds, so that a node that starts anew goes on where it was. Where its clock was ahead once, holders have
a sequence that it does not reach for a while, and refuse what it stores: so it goes on from what is found of its own.
"""

from collections.abc import Iterable

from overlay.agreement import Authored
from overlay.records import NAME, Record, make_record
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.keys import SigningKey

NAME_SECONDS = 29 * 86_400
NAME_SIGNED_SECONDS = 86_400


class OwnRecords:
    """Signs records for `certificate`, which may be renewed."""

    __slots__ = ("_last_sequence", "_names", "_signing_key", "certificate")

    def __init__(self, certificate: DeviceCertificate, signing_key: SigningKey) -> None:
        self.certificate = certificate
        self._signing_key = signing_key
        self._names: dict[bytes, Record] = {}
        self._last_sequence = 0

    def make(self, kind: str, key: bytes, body: bytes | None, expiry: int, unix: float) -> Record:
        """A record that follows all before; `expiry` and `unix` (now) in seconds since 1970."""
        self._last_sequence = max(int(unix * 1000), self._last_sequence + 1)
        return make_record(
            kind,
            key,
            body,
            certificate=self.certificate,
            signing_key=self._signing_key,
            sequence=self._last_sequence,
            expiry=expiry,
        )

    def name(self, key: bytes, unix: float) -> Record:
        """The name record at a key, signed once a day."""
        name, own = self._names.get(key), self.certificate.der
        if name is None or name.certificate != own or name.expiry - unix < NAME_SECONDS - NAME_SIGNED_SECONDS:
            name = self._names[key] = self.make(NAME, key, b"", int(unix) + NAME_SECONDS, unix)
        return name

    def catch_up(self, found: Iterable[Authored]) -> bool:
        """Go on from the newest record of this node among those `found`; whether we were behind it."""
        own = [record.sequence for record, author in found if author.node_id == self.certificate.node_id]
        is_behind = max(own, default=0) > self._last_sequence
        if is_behind:
            self._last_sequence = max(own)
            self._names.clear()
        return is_behind
