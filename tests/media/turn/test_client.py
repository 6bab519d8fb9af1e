"""The TURN client against a scripted server that speaks through aioice's codec; and against garbage."""

import hashlib

import pytest
from aioice import stun as codec
from hypothesis import given
from hypothesis import strategies as st

from media.turn import client as module
from media.turn.client import (
    ATTEMPTS_MAX,
    CHANNELS_MAX,
    KEEPALIVE_SECONDS,
    PERMISSIONS_MAX,
    REBIND_SECONDS,
    RENEW_SECONDS,
    REQUESTS_MAX,
    TurnClient,
)
from media.turn.outcomes import Allocated, Credentials, Lost, Received, State
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit

SERVER: Address = ("192.0.2.10", 3478)
RELAYED: Address = ("192.0.2.10", 50_000)
MAPPED: Address = ("198.51.100.1", 4_000)
PEER: Address = ("203.0.113.5", 6_000)
CREDENTIALS = Credentials("1700000000:ab", "secret", "example.org")


class Script:
    """A server by hand: it reads what the client sends, and answers what the test wants."""

    def __init__(self, *, is_stream: bool = False, credentials: Credentials = CREDENTIALS, family: int = 4) -> None:
        self.client = TurnClient(SERVER, credentials, is_stream=is_stream, chance=Chance.seeded(1), family=family)
        self.now = 100.0
        self.nonce = b"nonce"
        self.events: list[object] = []
        self.password = "secret"
        self.codes: dict[codec.Method, int] = {}
        self.is_dead = self.is_moody = False  # a moody server refuses once
        self.seen: list[codec.Message] = []
        self.raw: list[bytes] = []

    def key(self, message: codec.Message) -> bytes:
        """The long-term key."""
        text = f"{message.attributes['USERNAME']}:example.org:{self.password}"
        return hashlib.md5(text.encode(), usedforsecurity=False).digest()

    def drain(self) -> list[codec.Message]:
        """What the client has sent, answered."""
        found: list[codec.Message] = []
        while (output := self.client.poll_output()) is not None:
            if not isinstance(output, Transmit):
                self.events.append(output)
                continue
            assert output.destination == SERVER
            self.raw.append(output.data)
            message = codec.parse_message(output.data)
            found.append(message)
            if not self.is_dead and message.message_class == codec.Class.REQUEST:
                self.client.receive(self.answer(message), SERVER, self.now)
        self.seen += found
        return found

    def answer(self, message: codec.Message) -> bytes:
        """401 without credentials, 438 with an old nonce, then what `codes` say, or success."""
        method, transaction = message.message_method, message.transaction_id
        challenge = {"REALM": "example.org", "NONCE": self.nonce}
        if "MESSAGE-INTEGRITY" not in message.attributes:
            return self.error(message, 401, challenge)
        if message.attributes["NONCE"] != self.nonce:
            return self.error(message, 438, challenge)
        if not message.check_message_integrity(self.key(message)):
            return self.error(message, 401, challenge)
        if method in self.codes:
            code = self.codes.pop(method) if self.is_moody else self.codes[method]
            return self.error(message, code, {})
        attributes: dict[str, object] = {}
        if method == codec.Method.ALLOCATE:
            attributes = {"XOR-RELAYED-ADDRESS": RELAYED, "XOR-MAPPED-ADDRESS": MAPPED, "LIFETIME": 600}
        elif method == codec.Method.REFRESH:
            attributes = {"LIFETIME": message.attributes["LIFETIME"]}
        success = codec.Message(method, codec.Class.RESPONSE, transaction, attributes)
        success.add_message_integrity(self.key(message))
        return bytes(success)

    @staticmethod
    def error(message: codec.Message, code: int, more: dict[str, object]) -> bytes:
        """An error response."""
        attributes = {"ERROR-CODE": (code, "no"), **more}
        return bytes(codec.Message(message.message_method, codec.Class.ERROR, message.transaction_id, attributes))

    def ready(self) -> "Script":
        """Allocate."""
        self.client.start(self.now)
        self.settle()
        assert self.events == [Allocated(RELAYED, MAPPED)]
        self.seen.clear()
        return self

    def settle(self) -> None:
        """Until there is nothing more to send."""
        while self.drain():
            pass

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self.settle()
        while (when := self.client.poll_timeout()) is not None and when <= end:
            self.now = max(when, self.now)
            self.client.handle_timeout(self.now)
            self.settle()
        self.now = end

    def methods(self) -> list[codec.Method]:
        """The methods of what was sent."""
        return [message.message_method for message in self.seen]


def data_indication(peer: Address, data: bytes) -> bytes:
    """What a peer sent."""
    attributes = {"XOR-PEER-ADDRESS": peer, "DATA": data}
    return bytes(codec.Message(codec.Method.DATA, codec.Class.INDICATION, bytes(12), attributes))


def test_an_allocation_takes_a_challenge_and_a_second_request() -> None:
    script = Script()
    script.client.start(script.now)
    script.settle()
    assert script.methods() == [codec.Method.ALLOCATE] * 2
    assert script.events == [Allocated(RELAYED, MAPPED)]
    assert (script.client.relayed, script.client.state) == (RELAYED, State.READY)
    assert script.seen[1].attributes["REQUESTED-TRANSPORT"] == 17 << 24


def test_a_refresh_keeps_it_long_before_it_expires_and_follows_a_new_nonce() -> None:
    script = Script().ready()
    script.nonce = b"another"
    script.run(100.0)
    assert script.client.state is State.READY
    refreshes = script.methods().count(codec.Method.REFRESH)
    assert 0.8 * 100 / KEEPALIVE_SECONDS <= refreshes <= 1.3 * 100 / KEEPALIVE_SECONDS + 1


def test_permissions_and_channels_are_renewed_while_they_are_wanted() -> None:
    script = Script().ready()
    script.client.permit(PEER[0], script.now)
    script.client.bind(PEER, script.now)
    script.run(4 * RENEW_SECONDS)
    assert script.methods().count(codec.Method.CREATE_PERMISSION) >= 4
    assert script.methods().count(codec.Method.CHANNEL_BIND) >= 4
    script.client.release(PEER[0])
    script.seen.clear()
    script.run(4 * RENEW_SECONDS)
    assert set(script.methods()) == {codec.Method.REFRESH}


def test_the_first_packet_goes_right_behind_the_permission_and_later_ones_in_a_channel() -> None:
    script = Script().ready()
    assert script.client.wrap(b"early", PEER) is None
    script.client.permit(PEER[0], script.now)
    wire = script.client.wrap(b"check", PEER)
    assert wire is not None
    message = codec.parse_message(wire)
    assert (message.message_method, message.message_class) == (codec.Method.SEND, codec.Class.INDICATION)
    assert (message.attributes["XOR-PEER-ADDRESS"], message.attributes["DATA"]) == (PEER, b"check")
    assert [each.message_method for each in script.drain()] == [codec.Method.CREATE_PERMISSION]
    script.client.bind(PEER, script.now)
    script.settle()
    assert script.client.wrap(b"media", PEER) == b"\x40\x00\x00\x05media"


def test_on_a_stream_channel_data_is_padded_and_nothing_is_repeated() -> None:
    script = Script(is_stream=True).ready()
    script.client.permit(PEER[0], script.now)
    script.settle()
    script.client.bind(PEER, script.now)
    script.settle()
    assert script.client.wrap(b"media", PEER) == b"\x40\x00\x00\x05media\0\0\0"
    script.is_dead, before = True, len(script.raw)
    script.run(KEEPALIVE_SECONDS * 1.3 + 6)
    assert len(script.raw) - before == 1
    assert script.events[-1] == Lost("the relay does not answer")


def test_what_peers_send_is_given_out_from_indications_and_channels() -> None:
    script = Script().ready()
    script.client.receive(data_indication(PEER, b"one"), SERVER, script.now)
    script.client.permit(PEER[0], script.now)
    script.client.bind(PEER, script.now)
    script.settle()
    script.client.receive(b"\x40\x00\x00\x03two\0", SERVER, script.now)
    script.client.receive(b"\x40\x01\x00\x03not", SERVER, script.now)
    script.client.receive(b"\x40\x00\x00\x09cut", SERVER, script.now)
    script.client.receive(data_indication(PEER, b"forged"), PEER, script.now)
    script.settle()
    assert script.events[1:] == [Received(PEER, b"one"), Received(PEER, b"two")]


def test_a_silent_server_is_lost_within_seconds() -> None:
    script = Script().ready()
    script.is_dead = True
    script.client.check(script.now)
    begun = script.now
    while script.client.state is State.READY:
        script.run(0.1)
    assert script.events[-1] == Lost("the relay does not answer")
    assert script.now - begun < 4.0
    assert script.methods() == [codec.Method.REFRESH] * ATTEMPTS_MAX
    assert script.client.poll_timeout() is None


def test_one_lost_request_is_repeated() -> None:
    script = Script()
    script.is_dead = True
    script.client.start(script.now)
    script.drain()
    script.is_dead = False
    script.run(1.0)
    assert script.events == [Allocated(RELAYED, MAPPED)]


def test_a_server_that_was_restarted_has_forgotten_us() -> None:
    script = Script().ready()
    script.codes[codec.Method.REFRESH] = 437
    script.client.check(script.now)
    script.settle()
    assert script.events[-1] == Lost("the relay has forgotten us", forgotten=True)


def test_an_allocation_of_an_earlier_life_is_given_back_first() -> None:
    script = Script()
    script.codes[codec.Method.ALLOCATE], script.is_moody = 437, True
    script.client.start(script.now)
    script.settle()
    assert codec.Method.REFRESH in script.methods()
    assert script.events == [Allocated(RELAYED, MAPPED)]


def test_new_credentials_are_tried_and_the_first_ones_kept_when_the_server_wants_them() -> None:
    script = Script().ready()
    script.codes[codec.Method.REFRESH], script.is_moody = 441, True
    fresh = Credentials("1800000000:ab", "secret", "example.org")
    script.client.renew(fresh, script.now)
    script.settle()
    assert [each.attributes["USERNAME"] for each in script.seen] == [fresh.username, CREDENTIALS.username]
    assert script.client.state is State.READY
    script.client.renew(fresh, script.now)
    script.settle()
    script.run(KEEPALIVE_SECONDS * 1.3)
    assert script.seen[-1].attributes["USERNAME"] == fresh.username


@pytest.mark.parametrize(("code", "words"), [(486, "no place"), (508, "no place"), (403, "no place"), (441, "refuses")])
def test_a_refusal_is_said(code: int, words: str) -> None:
    script = Script()
    script.codes[codec.Method.ALLOCATE] = code
    script.client.start(script.now)
    script.settle()
    (event,) = script.events
    assert isinstance(event, Lost)
    assert words in event.reason


def test_a_wrong_password_is_refused_and_not_asked_for_ever() -> None:
    script = Script()
    script.password = "another"
    script.client.start(script.now)
    script.run(60.0)
    assert script.events == [Lost("the relay refuses our credentials")]
    assert len(script.seen) <= 3


def test_a_host_that_the_server_forbids_is_remembered() -> None:
    script = Script().ready()
    script.codes[codec.Method.CREATE_PERMISSION] = 403
    script.client.permit(PEER[0], script.now)
    script.settle()
    assert script.client.wrap(b"x", PEER) is None
    script.client.permit(PEER[0], script.now)
    script.client.bind(PEER, script.now)
    script.run(5.0)
    assert script.methods().count(codec.Method.CREATE_PERMISSION) == 1
    assert codec.Method.CHANNEL_BIND not in script.methods()


def test_hosts_that_are_wanted_before_there_is_an_allocation_are_asked_for_then() -> None:
    script = Script()
    script.client.permit(PEER[0], script.now)
    script.client.permit("2001:db8::1", script.now)  # of a family that the relay has not
    script.ready()
    assert list(script.client.permitted) == [PEER[0]]


def test_one_permission_one_channel_and_one_request_over_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANNELS_MAX", 8)
    assert CHANNELS_MAX > 8
    script = Script().ready()
    for number in range(PERMISSIONS_MAX + 1):
        script.client.permit(f"10.0.{number // 256}.{number % 256}", script.now)
        script.settle()
    assert len(script.client.permitted) == PERMISSIONS_MAX
    for number in range(9):
        script.client.bind(("10.0.0.1", 5_000 + number), script.now)
        script.settle()
    assert script.methods().count(codec.Method.CHANNEL_BIND) == 8
    script.client.release("10.0.0.1")
    script.now += REBIND_SECONDS + 1
    script.client.bind(("10.0.0.2", 7_000), script.now)  # a number that has rested long enough
    script.settle()
    assert (script.client.wrap(b"x", ("10.0.0.2", 7_000)) or b"")[:2] == b"\x40\x00"
    script.is_dead = True
    for _ in range(REQUESTS_MAX + 1):
        script.client._ask_permission("10.0.0.3", script.now)
    assert len(script.client._requests) == REQUESTS_MAX


def test_a_forged_success_is_not_believed() -> None:
    script = Script()
    script.is_dead = True
    script.client.start(script.now)
    (request,) = script.drain()
    attributes = {"XOR-RELAYED-ADDRESS": PEER, "XOR-MAPPED-ADDRESS": PEER}
    forged = codec.Message(codec.Method.ALLOCATE, codec.Class.RESPONSE, request.transaction_id, attributes)
    script.client.receive(bytes(forged), SERVER, script.now)
    forged.add_message_integrity(b"guessed")
    script.client.receive(bytes(forged), SERVER, script.now)
    assert script.client.state is State.ALLOCATING


def test_closing_gives_it_back_once_and_then_it_is_silent() -> None:
    script = Script().ready()
    script.client.close(script.now)
    (message,) = script.drain()
    assert message.attributes["LIFETIME"] == 0
    script.client.receive(data_indication(PEER, b"late"), SERVER, script.now)
    assert script.client.poll_output() is None
    assert script.client.poll_timeout() is None


def test_an_ipv6_relay_is_asked_for_by_family() -> None:
    script = Script(family=6)
    script.is_dead = True
    script.client.start(script.now)
    output = script.client.poll_output()
    assert isinstance(output, Transmit)
    assert b"\x00\x17\x00\x04\x02\x00\x00\x00" in output.data


@given(
    st.binary(max_size=120),
    st.sampled_from([b"", b"\x40\x00", b"\x01\x13", b"\x00\x17", b"\x01\x01\x00\x00\x21\x12\xa4\x42"]),
)
def test_any_bytes_are_taken_in_silence(data: bytes, head: bytes) -> None:
    script = Script().ready()
    script.client.receive(head + data, SERVER, script.now)
    script.client.unwrap(head + data)
    assert script.client.state is State.READY


@given(st.data())
def test_a_changed_answer_never_makes_more_than_a_loss(data: st.DataObject) -> None:
    script = Script()
    script.is_dead = True
    script.client.start(script.now)
    (request,) = script.drain()
    answer = bytearray(script.answer(request))
    for _ in range(data.draw(st.integers(1, 4))):
        answer[data.draw(st.integers(0, len(answer) - 1))] ^= data.draw(st.integers(1, 255))
    script.client.receive(bytes(answer), SERVER, script.now)
    script.drain()
    assert script.client.state in (State.ALLOCATING, State.LOST)
    assert all(isinstance(event, Lost) for event in script.events)
