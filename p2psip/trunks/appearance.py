"""How we look to a provider: the address that it must use for us in the place of our own (RFC 3581 §4)."""

from collections import OrderedDict

from p2psip.base.core import Address
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri, escape_user
from p2psip.trunks.trunk import Trunk

LEARNT_MAX = 16


class Appearance:
    """For one trunk: `public_address` of the settings, else the address that the provider has seen, else our own."""

    def __init__(self, trunk: Trunk) -> None:
        self._trunk = trunk
        self._learnt: OrderedDict[Address, Address] = OrderedDict()

    def learn(self, local: Address, seen: Address) -> None:
        """The provider sees what comes from `local` as coming from `seen`; of more than LEARNT_MAX the oldest is forgotten."""
        self._learnt[local] = seen
        self._learnt.move_to_end(local)
        while len(self._learnt) > LEARNT_MAX:
            self._learnt.popitem(last=False)

    def public(self, local: Address) -> Address | None:
        """What others must use in the place of `local`; None where that is `local` itself."""
        if self._trunk.public_address is not None:
            return self._trunk.public_address, local[1]
        seen = self._learnt.get(local, local)
        return None if seen == local else seen

    def contact(self, flow: Flow) -> str:
        """Our Contact value."""
        host, port = self.public(flow.local) or flow.local
        host = f"[{host}]" if ":" in host else host
        transport = () if flow.transport == "udp" else (("transport", flow.transport),)
        return f"<{SipUri('sip', escape_user(self._trunk.user), None, host, port or None, transport)}>"
