"""What a node says to others and hears from them in conversations: ways out, and proof of membership on the way in."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from overlay.conversation import Conversations, ConversationTransmit, MessageReceived
from overlay.events import MessageArrived
from overlay.members import Members
from overlay.routes import Routes
from overlay.rpc import CONVERSATION
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

UNPROVED_MESSAGES_MAX = 64
UNPROVED_PEERS_MAX = 64

_CONVERSATION = bytes((CONVERSATION,))


class Correspondence:
    """Messages between this node and others.

    `seal(node_key, payload)` makes a frame for a node, `ask_who(node_key, now)` asks a node for its certificate, `emit` takes
    the messages that came from members.
    """

    def __init__(
        self,
        conversations: Conversations,
        routes: Routes,
        members: Members,
        *,
        seal: Callable[[bytes, bytes], bytes],
        ask_who: Callable[[bytes, float], None],
        emit: Callable[[MessageArrived], None],
    ) -> None:
        self.conversations = conversations
        self.unsent = 0
        self.unproved: OrderedDict[bytes, deque[bytes]] = OrderedDict()
        self._routes = routes
        self._members = members
        self._seal = seal
        self._ask_who = ask_who
        self._emit = emit

    def say(self, node_key: bytes, ways: Sequence[Address], data: bytes, now: float) -> None:
        """Say `data` over the way that the node was heard on lately, else over these and all that are known."""
        if ways:
            self._routes.tell(node_key, ways, now)
        self.conversations.send(node_key, data, now)
        self._drain(now)

    def receive(self, sender: bytes, payload: bytes, now: float) -> None:
        """Take a payload of kind CONVERSATION."""
        self.conversations.receive_payload(sender, payload[1:], now)
        self._drain(now)

    def proved(self, node_key: bytes, certificate: DeviceCertificate) -> None:
        """A node showed its certificate: what it has said before counts now."""
        for data in self.unproved.pop(node_key, ()):
            self._emit(MessageArrived(node_key, certificate, data))

    def handle_timeout(self, now: float) -> None:
        """Serve what is due."""
        self.conversations.handle_timeout(now)
        self._drain(now)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.conversations.poll_timeout()

    def _drain(self, now: float) -> None:
        while (output := self.conversations.poll_output()) is not None:
            match output:
                case ConversationTransmit(peer, payload):
                    self._say(peer, _CONVERSATION + payload, now)
                case MessageReceived(peer, data):
                    self._deliver(peer, data, now)

    def _say(self, peer: bytes, payload: bytes, now: float) -> None:
        try:
            self._routes.say(peer, self._seal(peer, payload), now)
        except RemoteError:
            self.unsent += 1  # its key is none

    def _deliver(self, node_key: bytes, data: bytes, now: float) -> None:
        certificate = self._members.certificate_of(node_key, now + self.conversations.unix_offset)
        if certificate is not None:
            self._emit(MessageArrived(node_key, certificate, data))
            return
        waiting = self.unproved.setdefault(node_key, deque(maxlen=UNPROVED_MESSAGES_MAX))
        waiting.append(data)
        if len(self.unproved) > UNPROVED_PEERS_MAX:
            self.unproved.popitem(last=False)
        self._ask_who(node_key, now)
