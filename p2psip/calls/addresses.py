"""What a URI that a phone dials or names means here: addresses of the overlay, aliases, plain names and numbers."""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from p2psip.sip.uri import OtherUri, SipUri

EMERGENCY_URN = "service:sos"  # RFC 5031 §4.2
EMERGENCY = "112"
HOSTS_CACHED_MAX = 256

_SEPARATORS = re.compile(r"[\s().\-]")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The overlay's name, and the person's own addresses; the first one stands for all of them."""

    overlay: str
    own: tuple[str, ...]

    def of_ours(self, uri: SipUri | OtherUri) -> str | None:
        """The overlay address that `uri` means, or None when it is of somewhere else.

        A phone may be set up with the node's IP address as its domain, and may dial a name or number only; both are
        completed with the overlay's name. `tel:` numbers lose their visual separators (RFC 3966 §3). Who asks for
        help by `urn:service:sos` has dialled 112.
        """
        if isinstance(uri, OtherUri):
            if uri.scheme == "urn" and uri.rest.lower().startswith(EMERGENCY_URN):
                return f"{EMERGENCY}@{self.overlay}"
            if uri.scheme != "tel":
                return None
            return f"{_SEPARATORS.sub('', uri.rest.partition(';')[0])}@{self.overlay}".lower()
        user, _, host = uri.address.rpartition("@")
        if host != self.overlay and not _is_this_machine(host):
            return None
        return f"{user}@{self.overlay}"

    def main(self, address: str) -> str:
        """The main address of the person of this node for any of their addresses; others as they are."""
        return self.own[0] if address in self.own else address

    def is_own(self, address: str) -> bool:
        """Whether `address` is one of the person of this node."""
        return address in self.own


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
