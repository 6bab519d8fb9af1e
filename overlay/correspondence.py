"""What a node says to others and hears from them in conversations: ways out, and proof of membership on the way in."""

from collections import OrderedDict, deque
from collections.abc import Callable

from overlay.conversation import Conversations, ConversationTransmit, MessageReceived
from overlay.events import MessageArrived
from overlay.heard import HeardAddresses
from overlay.members import Members
from overlay.rpc import CONVERSATION
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address

UNPROVED_MESSAGES_MAX = 64
UNPROVED_PEERS_MAX = 64

_CONVERSATION = bytes((CONVERSATION,))


class Correspondence:
    """Messages between this node and others.

    `send(node_key, address, payload)` puts a payload on its way, `ask_who(node_key, now)` asks a node for its certificate,
    `emit` takes the messages that came from members.
    """

    def __init__(
        self,
        conversations: Conversations,
        heard: HeardAddresses,
        members: Members,
        *,
        send: Callable[[bytes, Address, bytes], None],
        ask_who: Callable[[bytes, float], None],
        emit: Callable[[MessageArrived], None],
    ) -> None:
        self.conversations = conversations
        self.unproved: OrderedDict[bytes, deque[bytes]] = OrderedDict()
        self._heard = heard
        self._members = members
        self._send = send
        self._ask_who = ask_who
        self._emit = emit

    def say(self, node_key: bytes, address: Address | None, data: bytes, now: float) -> None:
        """Say `data`: to where the node was heard from lately, else to `address`, if one is given."""
        if address is not None and not self._heard.is_fresh(node_key, now):
            self._heard.note(node_key, address, now)
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
                    address = self._heard.get(peer)
                    if address is not None:
                        self._send(peer, address, _CONVERSATION + payload)
                case MessageReceived(peer, data):
                    self._deliver(peer, data, now)

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
