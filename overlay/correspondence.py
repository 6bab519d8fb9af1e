"""What a node says to others and hears from them in conversations: ways out, and proof of membership on the way in.

Before the first words to somebody goes our certificate, in a frame of its own (INTRODUCTION): else the other side, which must
know who speaks before it listens, would have to ask, a round trip through a super-node. If it is lost, it asks.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from overlay.conversation import Conversations, ConversationTransmit, MessageReceived
from overlay.events import MessageArrived
from overlay.members import Members
from overlay.routes import Routes
from overlay.rpc import CONVERSATION, INTRODUCTION
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

UNPROVED_MESSAGES_MAX = 64
UNPROVED_PEERS_MAX = 64
INTRODUCED_MAX = 1_024
INTRODUCED_SECONDS = 60.0

_CONVERSATION = bytes((CONVERSATION,))
_INTRODUCTION = bytes((INTRODUCTION,))


class Correspondence:
    """Messages between this node and others.

    `seal(node_key, payload)` makes a frame for a node, `certificate()` is ours, `ask_who(node_key, now)` asks a node for its
    certificate, `emit` takes the messages that came from members.
    """

    __slots__ = (
        "_ask_who", "_certificate", "_emit", "_introduced", "_members", "_routes", "_seal", "conversations",
        "unproved", "unsent"
    )  # fmt: skip

    def __init__(
        self,
        conversations: Conversations,
        routes: Routes,
        members: Members,
        *,
        seal: Callable[[bytes, bytes], bytes],
        certificate: Callable[[], bytes],
        ask_who: Callable[[bytes, float], None],
        emit: Callable[[MessageArrived], None],
    ) -> None:
        self.conversations = conversations
        self.unsent = 0
        self.unproved: OrderedDict[bytes, deque[bytes]] = OrderedDict()
        self._routes = routes
        self._members = members
        self._seal = seal
        self._certificate = certificate
        self._ask_who = ask_who
        self._introduced: OrderedDict[bytes, float] = OrderedDict()
        self._emit = emit

    def say(self, node_key: bytes, ways: Sequence[Address], data: bytes, now: float) -> None:
        """Say `data` over the way that the node was heard on lately, else over these and all that are known."""
        if ways:
            self._routes.tell(node_key, ways, now)
        self._introduce(node_key, now)
        self.conversations.send(node_key, data, now)
        self._drain(now)

    def receive(self, sender: bytes, payload: bytes, now: float) -> None:
        """Take a payload of kind CONVERSATION or INTRODUCTION."""
        if payload[:1] == _INTRODUCTION:
            self._learn(sender, payload[1:], now)
            return
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

    def _introduce(self, node_key: bytes, now: float) -> None:
        """Say who we are, to those whom we have not told for INTRODUCED_SECONDS."""
        before = self._introduced.get(node_key)
        if before is not None and now - before < INTRODUCED_SECONDS:
            return
        self._introduced[node_key] = now
        self._introduced.move_to_end(node_key)
        if len(self._introduced) > INTRODUCED_MAX:
            self._introduced.popitem(last=False)
        self._say(node_key, _INTRODUCTION + self._certificate(), now)

    def _learn(self, node_key: bytes, der: bytes, now: float) -> None:
        if node_key not in self._members:
            certificate = self._members.learn(node_key, der, now + self.conversations.unix_offset)
            if certificate is not None:
                self.proved(node_key, certificate)

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
