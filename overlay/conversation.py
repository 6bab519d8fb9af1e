"""Conversations: whole messages (SIP, up to CONVERSATION_BYTES_MAX) between two nodes in Noise IK sessions.

The bytes travel as payloads of sealed frames, cut by `overlay.fragments`. Flights, each after one byte of kind:

    HELLO    4 bytes our id | Noise message 1 carrying (8 bytes unix milliseconds | message)
    ANSWER   4 bytes their id | 4 bytes our id | Noise message 2 carrying (1 byte: taken?) | maybe number, ciphertext
    DATA     4 bytes their id | 8 bytes number | ciphertext
    UNKNOWN  4 bytes your id | 8 bytes number: I have no such session

Unreliable by design: SIP repeats what is lost. But nothing that is lost wedges a conversation. While no session
stands, each message travels in a HELLO of its own; an ANSWER is sent along until the other side has shown that it has
it; a side that has forgotten a session says UNKNOWN, and the message is repeated in a HELLO. Two HELLOs that cross make
two sessions, and either side sends on its newest; sessions unused are dropped.

**Secrecy.** What a HELLO carries can be read later by a thief of the receiver's node key (not of the sender's), and
such a thief can also forge first flights to the receiver. Everything after it has forward secrecy: stolen node keys do
not open it once both sides have dropped the session, SESSION_SECONDS_MAX after its start at the latest.

**Replay.** A HELLO's message is delivered once at most. If its time is not within HELLO_SKEW_SECONDS_MAX of ours, lies
before our own start, or is older than what we can remember, the session is made but the message is not taken, and the
sender repeats it inside the session: a wrong clock costs one round trip and nothing else.
"""

import struct
from collections import OrderedDict, deque
from dataclasses import dataclass

from overlay.budget import Budget
from overlay.fragments import Reassembler, split
from overlay.noise import SECOND_OVERHEAD_BYTES, Initiator, Responder
from overlay.session import REPEATABLE_BYTES_MAX, Correspondent, Handshake, Session
from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import KEY_BYTES, NodeKey
from p2psip.base.timers import Timers

CONVERSATION_BYTES_MAX = 65_536
CORRESPONDENTS_MAX = 1_024
SESSIONS_PER_PEER_MAX = 4
HANDSHAKES_PER_PEER_MAX = 3
HELLOS_PER_PEER_PER_SECOND_MAX = 20
HELLOS_PER_SECOND_MAX = 500
HELLOS_REMEMBERED_MAX = 8_192
HELLO_SKEW_SECONDS_MAX = 60.0
HANDSHAKE_SECONDS_MAX = 32.0
RENEW_SECONDS = 600.0
SESSION_SECONDS_MAX = 1_200.0
SESSION_IDLE_SECONDS_MAX = 600.0

_PROLOGUE = b"p2psip conversation 1"
_HELLO, _ANSWER, _DATA, _UNKNOWN = range(1, 5)
_ID = struct.Struct(">BI")
_IDS = struct.Struct(">BII")
_NUMBERED = struct.Struct(">BIQ")
_NUMBER = struct.Struct(">Q")
_ANSWER_BYTES = SECOND_OVERHEAD_BYTES + 1
_FRAGMENTS = b""
"""The name of the deadline of incomplete messages among those of peers."""
_TAKEN, _REPEAT = b"\x01", b"\x00"


@dataclass(frozen=True, slots=True)
class ConversationTransmit:
    """A payload to be sealed in a frame for this peer."""

    peer: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message that this peer (node key) said to us, and only to us."""

    peer: bytes
    data: bytes


class Conversations:
    """The core of all conversations of one node.

    `unix_offset` is unix time minus steady time (`now`); set it anew when the wall clock was corrected.
    """

    __slots__ = (
        "_chance", "_correspondents", "_hello_budget", "_hello_floor", "_hellos", "_key", "_message_id", "_outputs",
        "_reassembler", "_unix_offset", "timers"
    )  # fmt: skip

    def __init__(self, node_key: NodeKey, chance: Chance, *, now: float, unix_offset: float) -> None:
        self._key = node_key
        self._chance = chance
        self._unix_offset = unix_offset
        self._hello_floor = now + unix_offset - 0.001
        self._correspondents: OrderedDict[bytes, Correspondent] = OrderedDict()
        self._hellos: OrderedDict[bytes, float] = OrderedDict()
        self._hello_budget = Budget(HELLOS_PER_SECOND_MAX)
        self._reassembler = Reassembler()
        self._message_id: int | None = None  # drawn when something is said first: most nodes talk to few
        self.timers: Timers[bytes] = Timers()
        self._outputs: deque[ConversationTransmit | MessageReceived] = deque()

    def __len__(self) -> int:
        """How many peers are remembered (at most CORRESPONDENTS_MAX)."""
        return len(self._correspondents)

    def send(self, peer: bytes, data: bytes, now: float) -> None:
        """Say `data` to the node with this key. LocalError if empty or over CONVERSATION_BYTES_MAX."""
        if not 0 < len(data) <= CONVERSATION_BYTES_MAX:
            raise LocalError(f"a message has 1 to {CONVERSATION_BYTES_MAX} bytes, not {len(data)}")
        state = self._correspondent(peer, now)
        session = self._sending_session(state, now)
        if session is None:
            self._send_hello(peer, state, data, now)
            return
        self._send_in(peer, session, data, now)
        if now - session.started >= RENEW_SECONDS and not state.handshakes:
            self._send_hello(peer, state, b"", now)

    def receive_payload(self, peer: bytes, payload: bytes, now: float) -> None:
        """Take the payload of a frame from this peer; RemoteError if it breaks a rule."""
        flight = self._reassembler.add(peer, payload, now)
        self._watch_fragments()
        if not flight:
            return
        try:
            if flight[0] == _DATA:
                self._take_data(peer, flight, now)
            elif flight[0] == _HELLO:
                self._take_hello(peer, flight, now)
            elif flight[0] == _ANSWER:
                self._take_answer(peer, flight, now)
            elif flight[0] == _UNKNOWN:
                self._take_unknown(peer, flight, now)
            else:
                raise RemoteError("a conversation flight of an unknown kind")
        except struct.error as error:
            raise RemoteError("a conversation flight of a wrong length") from error

    def handle_timeout(self, now: float) -> None:
        """Forget what is over."""
        for peer in self.timers.expired(now):
            if peer != _FRAGMENTS:
                self._tidy(peer, now)
                continue
            self._reassembler.expire(now)
            self._watch_fragments()

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    def _watch_fragments(self) -> None:
        deadline = self._reassembler.next_expiry()
        if deadline is not None:
            self.timers.set(_FRAGMENTS, deadline)
        else:
            self.timers.stop(_FRAGMENTS)

    def poll_output(self) -> ConversationTransmit | MessageReceived | None:
        """The next payload or message, or None."""
        return self._outputs.popleft() if self._outputs else None

    @property
    def unix_offset(self) -> float:
        """Unix time minus steady time."""
        return self._unix_offset

    @unix_offset.setter
    def unix_offset(self, seconds: float) -> None:
        """What is remembered moves as well: else a clock set back would refuse every hello until it is as late again."""
        later = seconds - self._unix_offset
        self._unix_offset = seconds
        self._hello_floor += later
        for ephemeral in self._hellos:
            self._hellos[ephemeral] += later

    # Sending

    def _send_hello(self, peer: bytes, state: Correspondent, data: bytes, now: float) -> None:
        initiator = Initiator(self._key, peer, NodeKey.generate(self._chance), _PROLOGUE)
        stamp = _NUMBER.pack(max(0, int((now + self._unix_offset) * 1000)))
        flight = initiator.write_first(stamp + data)
        handshake_id = self._new_id(state)
        state.handshakes[handshake_id] = Handshake(initiator, data if len(data) <= REPEATABLE_BYTES_MAX else b"", now)
        if len(state.handshakes) > HANDSHAKES_PER_PEER_MAX:
            state.handshakes.popitem(last=False)
        self._watch(peer, state)
        self._transmit(peer, _ID.pack(_HELLO, handshake_id) + flight)

    def _send_in(self, peer: bytes, session: Session, data: bytes, now: float) -> None:
        number, sealed = session.seal(data, now)
        if session.answer is not None:
            self._transmit(peer, session.answer + _NUMBER.pack(number) + sealed)
        else:
            self._transmit(peer, _NUMBERED.pack(_DATA, session.remote_id, number) + sealed)

    def _transmit(self, peer: bytes, flight: bytes) -> None:
        last = self._chance.integer(32) if self._message_id is None else self._message_id
        self._message_id = (last + 1) & 0xFFFFFFFF
        fragments = split(flight, self._message_id)
        for fragment in reversed(fragments):  # full ones last: who they complete may cause an answer
            self._outputs.append(ConversationTransmit(peer, fragment))

    # Receiving

    def _take_hello(self, peer: bytes, flight: bytes, now: float) -> None:
        _kind, remote_id = _ID.unpack_from(flight)
        ephemeral = flight[_ID.size : _ID.size + KEY_BYTES]
        if ephemeral in self._hellos:
            raise RemoteError("a conversation's first flight that was seen before", status=409)
        state = self._correspondent(peer, now)
        if not (state.hello_budget.spend(now) and self._hello_budget.spend(now)):
            raise RemoteError("more first flights in a second than we answer", status=503)
        responder = Responder(self._key, NodeKey.generate(self._chance), _PROLOGUE)
        content = responder.read_first(flight[_ID.size :])
        if responder.remote != peer:
            raise RemoteError("a conversation in the name of another node", status=403)
        (stamp,) = _NUMBER.unpack_from(content)
        taken = self._is_fresh(ephemeral, stamp / 1000, now)
        second, transport = responder.write_second(_TAKEN if taken else _REPEAT)
        session_id = self._new_id(state)
        answer = _IDS.pack(_ANSWER, remote_id, session_id) + second
        self._add_session(peer, state, session_id, Session(transport, remote_id, now, now, answer, trusted=taken))
        self._transmit(peer, answer)
        if taken and len(content) > _NUMBER.size:
            self._outputs.append(MessageReceived(peer, content[_NUMBER.size :]))

    def _take_answer(self, peer: bytes, flight: bytes, now: float) -> None:
        _kind, our_id, remote_id = _IDS.unpack_from(flight)
        second, rest = flight[_IDS.size : _IDS.size + _ANSWER_BYTES], flight[_IDS.size + _ANSWER_BYTES :]
        state = self._correspondents.get(peer)
        handshake = state.handshakes.get(our_id) if state else None
        if state and handshake:
            verdict, transport = handshake.initiator.read_second(second)
            del state.handshakes[our_id]
            session = Session(transport, remote_id, now, now)
            self._add_session(peer, state, our_id, session)
            if verdict == _REPEAT and handshake.message:
                self._send_in(peer, session, handshake.message, now)
        if rest:
            self._open(peer, our_id, rest, now)

    def _take_data(self, peer: bytes, flight: bytes, now: float) -> None:
        _kind, our_id = _ID.unpack_from(flight)
        self._open(peer, our_id, flight[_ID.size :], now)

    def _open(self, peer: bytes, our_id: int, rest: bytes, now: float) -> None:
        (number,) = _NUMBER.unpack_from(rest)
        state = self._correspondents.get(peer)
        session = state.sessions.get(our_id) if state else None
        if session is None or now - session.started >= SESSION_SECONDS_MAX:
            self._transmit(peer, _NUMBERED.pack(_UNKNOWN, our_id, number))
            return
        message = session.open(number, rest[_NUMBER.size :], now)
        self._correspondents.move_to_end(peer)
        self._outputs.append(MessageReceived(peer, message))

    def _take_unknown(self, peer: bytes, flight: bytes, now: float) -> None:
        _kind, remote_id, number = _NUMBERED.unpack(flight)
        state = self._correspondents.get(peer)
        if state is None:
            return
        for our_id in [each for each, session in state.sessions.items() if session.remote_id == remote_id]:
            session = state.sessions.pop(our_id)
            if session.last is not None and session.last[0] == number:
                self.send(peer, session.last[1], now)

    def _is_fresh(self, ephemeral: bytes, stamp: float, now: float) -> bool:
        unix = now + self._unix_offset
        if abs(stamp - unix) > HELLO_SKEW_SECONDS_MAX or stamp <= self._hello_floor:
            return False
        while self._hellos and next(iter(self._hellos.values())) < unix - 2 * HELLO_SKEW_SECONDS_MAX:
            self._hellos.popitem(last=False)
        self._hellos[ephemeral] = unix
        if len(self._hellos) > HELLOS_REMEMBERED_MAX:
            # Whatever was said up to the time of the one we forget might be a repetition of it.
            self._hello_floor = max(self._hello_floor, self._hellos.popitem(last=False)[1] + HELLO_SKEW_SECONDS_MAX)
        return True

    # Remembering

    def _correspondent(self, peer: bytes, now: float) -> Correspondent:
        state = self._correspondents.get(peer)
        if state is not None:
            self._correspondents.move_to_end(peer)
            return state
        state = self._correspondents[peer] = Correspondent(Budget(HELLOS_PER_PEER_PER_SECOND_MAX))
        self.timers.set(peer, now + HANDSHAKE_SECONDS_MAX)
        if len(self._correspondents) > CORRESPONDENTS_MAX:
            forgotten = self._correspondents.popitem(last=False)[0]
            self.timers.stop(forgotten)
        return state

    def _sending_session(self, state: Correspondent, now: float) -> Session | None:
        usable = [each for each in state.sessions.values() if each.trusted and _end(each) > now]
        return max(usable, key=lambda each: each.started, default=None)

    def _add_session(self, peer: bytes, state: Correspondent, session_id: int, session: Session) -> None:
        if len(state.sessions) >= SESSIONS_PER_PEER_MAX:
            del state.sessions[min(state.sessions, key=lambda each: state.sessions[each].worth)]
        state.sessions[session_id] = session
        self._watch(peer, state)

    def _new_id(self, state: Correspondent) -> int:
        while (number := self._chance.integer(32)) in state.sessions or number in state.handshakes:
            pass
        return number

    def _watch(self, peer: bytes, state: Correspondent) -> None:
        ends = [_end(session) for session in state.sessions.values()]
        ends += [handshake.started + HANDSHAKE_SECONDS_MAX for handshake in state.handshakes.values()]
        if ends:
            self.timers.set(peer, min(ends))
        else:
            del self._correspondents[peer]

    def _tidy(self, peer: bytes, now: float) -> None:
        state = self._correspondents[peer]
        for our_id in [each for each, session in state.sessions.items() if _end(session) <= now]:
            del state.sessions[our_id]
        for our_id, handshake in list(state.handshakes.items()):
            if handshake.started + HANDSHAKE_SECONDS_MAX <= now:
                del state.handshakes[our_id]
        self._watch(peer, state)


def _end(session: Session) -> float:
    return min(session.started + SESSION_SECONDS_MAX, session.used + SESSION_IDLE_SECONDS_MAX)
