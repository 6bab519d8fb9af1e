"""The certificates that nodes have shown us: who is known to belong to the overlay."""

from typing import Protocol

from overlay.membership import Membership
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.errors import RemoteError
from p2psip.base.keys import identity_of


class Shown(Protocol):
    """What is remembered of a node in its place in a `FrameBox`: the certificate that it has shown."""

    certificate: DeviceCertificate | None


class Frames(Protocol):
    """Knows the nodes whose frames were opened; `members` of them have shown a certificate."""

    @property
    def members(self) -> int:
        """How many."""

    def peer(self, node_key: bytes) -> Shown | None:
        """The node, or None if it is not remembered."""


class Members:
    """The certificates of the nodes that `frames` remembers: a node that is forgotten there shows its own again."""

    __slots__ = ("_frames", "_membership")

    def __init__(self, membership: Membership, frames: Frames) -> None:
        self._membership = membership
        self._frames = frames

    def __len__(self) -> int:
        return self._frames.members

    def __contains__(self, node_key: bytes) -> bool:
        known = self._frames.peer(node_key)
        return known is not None and known.certificate is not None

    def learn(self, node_key: bytes, der: bytes, unix: float) -> DeviceCertificate | None:
        """Remember the certificate if it is good and this node's own; None otherwise."""
        try:
            certificate = self._membership.check(der, unix)
        except RemoteError:
            return None
        if certificate.node_id != identity_of(node_key).node_id:
            return None
        known = self._frames.peer(node_key)
        if known is not None:
            known.certificate = certificate
        return certificate

    def certificate_of(self, node_key: bytes, unix: float) -> DeviceCertificate | None:
        """The certificate of a node that belongs to the overlay now; None when it showed none, or is no member any more."""
        known = self._frames.peer(node_key)
        if known is None:
            return None
        certificate = known.certificate
        if certificate is None or self._membership.is_in_force(certificate, unix):
            return certificate
        known.certificate = None
        return None
