"""The user name fragments and passwords of one agent and its peer (RFC 8445 §5.3), and what is signed with them."""

from media import stun
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError


class Credentials:
    """Ours are drawn at once; the peer's come with its description."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self.ufrag = chance.token(4)
        self.password = chance.token(12)
        self.remote_ufrag = ""
        self.remote_password = ""

    def are_of(self, ufrag: str, password: str) -> bool:
        """Whether the peer has told these."""
        return (ufrag, password) == (self.remote_ufrag, self.remote_password)

    def check(self, transaction: bytes, attributes: dict[str, object]) -> bytes:
        """A connectivity check for the peer's agent."""
        return stun.binding_request(transaction, self._username, self.remote_password, attributes)

    def wrap(self, data: bytes) -> bytes:
        """A DTLS datagram in an indication for the peer's agent."""
        return stun.dtls_indication(self._chance.bytes(12), self._username, self.remote_password, data)

    def unwrap(self, data: bytes) -> bytes | None:
        """The DTLS datagram in an indication that the peer sent to this agent; None for anything else."""
        try:
            message = stun.parse(data)
            stun.verify(message, self.password)
        except RemoteError:
            return None
        wrapped = message.attributes.get("DATA") if message.message_class == stun.Class.INDICATION else None
        return wrapped if isinstance(wrapped, bytes) else None

    @property
    def _username(self) -> str:
        return f"{self.remote_ufrag}:{self.ufrag}"
