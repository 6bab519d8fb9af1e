"""The certificates that nodes have shown us: who is known to belong to the overlay."""

from overlay.membership import Membership
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.errors import RemoteError
from p2psip.base.keys import identity_of

MEMBERS_MAX = 4_096


class Members:
    """Certificates by node key, of the MEMBERS_MAX nodes that showed one last."""

    __slots__ = ("_membership", "_shown")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._shown: dict[bytes, DeviceCertificate] = {}

    def __len__(self) -> int:
        return len(self._shown)

    def __contains__(self, node_key: bytes) -> bool:
        return node_key in self._shown

    def learn(self, node_key: bytes, der: bytes, unix: float) -> DeviceCertificate | None:
        """Remember the certificate if it is good and this node's own; None otherwise."""
        try:
            certificate = self._membership.check(der, unix)
        except RemoteError:
            return None
        identity = identity_of(node_key)
        if certificate.node_id != identity.node_id:
            return None
        self._shown.pop(node_key, None)
        self._shown[identity.node_key] = certificate
        if len(self._shown) > MEMBERS_MAX:
            del self._shown[next(iter(self._shown))]
        return certificate

    def certificate_of(self, node_key: bytes, unix: float) -> DeviceCertificate | None:
        """The certificate of a node that belongs to the overlay now; None when it showed none, or is no member any more."""
        certificate = self._shown.get(node_key)
        if certificate is None or self._membership.is_in_force(certificate, unix):
            return certificate
        del self._shown[node_key]
        return None
