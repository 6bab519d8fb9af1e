"""One Noise session of a conversation, and a handshake that waits for its answer: state only, no decisions."""

from collections import OrderedDict
from dataclasses import dataclass, field

from overlay.budget import Budget
from overlay.noise import Initiator, Transport
from overlay.replay import ReplayWindow

REPEATABLE_BYTES_MAX = 4_096
"""Larger messages are not kept for being repeated; SIP sends them again."""


@dataclass(slots=True)
class Handshake:
    """Our first message without its answer. `message` is what it carried, None if it need not be repeated."""

    initiator: Initiator
    message: bytes | None
    started: float


@dataclass(slots=True)
class Session:
    """An established session. `answer` is the second handshake message until the other side is known to have it."""

    transport: Transport
    remote_id: int
    started: float
    used: float
    answer: bytes | None = None
    trusted: bool = True
    next_number: int = 0
    window: ReplayWindow = field(default_factory=ReplayWindow)
    last: tuple[int, bytes] | None = None

    @property
    def worth(self) -> tuple[bool, float]:
        """What makes one session more worth keeping than another."""
        return self.trusted, self.used

    def seal(self, message: bytes, now: float) -> tuple[int, bytes]:
        """The number and the ciphertext of the next message; a small one is kept in case it must be repeated."""
        number = self.next_number
        self.next_number += 1
        self.used = now
        self.last = (number, message) if len(message) <= REPEATABLE_BYTES_MAX else None
        return number, self.transport.seal(number, message)

    def open(self, number: int, ciphertext: bytes, now: float) -> bytes:
        """The message, once; RemoteError for a repeated or false one."""
        self.window.check(number)
        message = self.transport.open(number, ciphertext)
        self.window.add(number)
        self.used, self.answer, self.trusted = now, None, True
        return message


@dataclass(slots=True)
class Correspondent:
    """All that is remembered of one peer: sessions and open handshakes by our id for them."""

    hello_budget: Budget
    sessions: OrderedDict[int, Session] = field(default_factory=OrderedDict)
    handshakes: OrderedDict[int, Handshake] = field(default_factory=OrderedDict)
