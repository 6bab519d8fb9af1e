"""The certificates that nodes have shown us: who is known to belong to the overlay."""

from collections import OrderedDict

from overlay.membership import Membership
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.errors import RemoteError
from p2psip.base.keys import node_id_of

MEMBERS_MAX = 4_096


class Members:
    """Certificates by node key, of the MEMBERS_MAX nodes that showed one last."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._shown: OrderedDict[bytes, bytes] = OrderedDict()

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
        if certificate.node_id != node_id_of(node_key):
            return None
        self._shown[node_key] = der
        self._shown.move_to_end(node_key)
        if len(self._shown) > MEMBERS_MAX:
            self._shown.popitem(last=False)
        return certificate

    def certificate_of(self, node_key: bytes, unix: float) -> DeviceCertificate | None:
        """The certificate of a node that belongs to the overlay now; None when it showed none, or is no member any more."""
        der = self._shown.get(node_key)
        if der is None:
            return None
        try:
            return self._membership.check(der, unix)
        except RemoteError:
            del self._shown[node_key]
            return None
