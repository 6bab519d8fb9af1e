"""Noise IK against the published vector, against another implementation in both roles, and against bent messages."""

import pytest
from noise.connection import Keypair, NoiseConnection

from overlay.noise import FIRST_OVERHEAD_BYTES, PROTOCOL_NAME, SECOND_OVERHEAD_BYTES, Initiator, Responder, Transport
from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import NodeKey

# Noise_IK_25519_ChaChaPoly_SHA256 of noise-c, tests/vector/noise-c-basic.txt.
PROLOGUE = bytes.fromhex("50726f6c6f677565313233")
INITIATOR_STATIC = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"
INITIATOR_EPHEMERAL = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
RESPONDER_STATIC = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"
RESPONDER_EPHEMERAL = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
RESPONDER_PUBLIC = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"
HANDSHAKE_HASH = "3d8748e8f966293aeab5cd9a2e42ad0e8d0ebd83fa78957c4664bc6718613eeb"
FIRST = (
    "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
    "718da798efbcd91528520204f904b9bd6c7413dccdc214d951e15253e39987f1508bfd10ad143e921328082a3c3b9e50"
    "c289f0294b29960a72f48e0b7bba2e89f20d17ed0e4dcf718749c95a941a620e"
)
SECOND = (
    "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
    "5361e70b2ed446e6c9ec387d1d6b3b3380e00f0055bd7b310e12947fbab8e7"
)
TRANSPORT = [
    (b"F. A. Hayek", "050e9f3c8fac16b68dbce8f8c4bfbf6617c897f9ada4aa29aa19c8"),
    (b"Carl Menger", "344233a6cabb7141d80f3da2fedc311d9646bbb0f505afe403a667"),
    (b"Jean-Baptiste Say", "62cdeeb172ad7ade7aa7d9e069da5790f12331bfa00177787a1d0810c67dc3b2b4"),
    (
        bytes.fromhex("457567656e2042f6686d20766f6e2042617765726b"),
        "029bead1b40992327044d409d9a1f3ad8f36c3c452775d557e18bbeb2e8dfcead32d514024",
    ),
]


def key(text: str) -> NodeKey:
    return NodeKey(bytes.fromhex(text))


def both(prologue: bytes = PROLOGUE) -> tuple[Initiator, Responder]:
    initiator = Initiator(key(INITIATOR_STATIC), bytes.fromhex(RESPONDER_PUBLIC), key(INITIATOR_EPHEMERAL), prologue)
    return initiator, Responder(key(RESPONDER_STATIC), key(RESPONDER_EPHEMERAL), prologue)


def sessions() -> tuple[Transport, Transport]:
    initiator, responder = both()
    responder.read_first(initiator.write_first(b""))
    second, theirs = responder.write_second(b"")
    return initiator.read_second(second)[1], theirs


def test_the_published_vector() -> None:
    initiator, responder = both()
    first = initiator.write_first(b"Ludwig von Mises")
    assert first.hex() == FIRST
    assert responder.read_first(first) == b"Ludwig von Mises"
    assert responder.remote == key(INITIATOR_STATIC).public
    second, theirs = responder.write_second(b"Murray Rothbard")
    assert second.hex() == SECOND
    payload, ours = initiator.read_second(second)
    assert payload == b"Murray Rothbard"
    assert ours.handshake_hash.hex() == theirs.handshake_hash.hex() == HANDSHAKE_HASH
    for position, (payload, ciphertext) in enumerate(TRANSPORT):
        sender, receiver = (ours, theirs) if position % 2 == 0 else (theirs, ours)
        assert sender.seal(position // 2, payload).hex() == ciphertext
        assert receiver.open(position // 2, bytes.fromhex(ciphertext)) == payload


def _foreign(static: str) -> NoiseConnection:
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    connection.set_prologue(PROLOGUE)
    connection.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(static))
    return connection


def test_we_call_another_implementation() -> None:
    foreign = _foreign(RESPONDER_STATIC)
    foreign.set_as_responder()
    foreign.start_handshake()
    initiator, _ = both()
    assert foreign.read_message(initiator.write_first(b"hello")) == b"hello"
    payload, session = initiator.read_second(bytes(foreign.write_message(b"welcome")))
    assert payload == b"welcome"
    assert foreign.decrypt(session.seal(0, b"to you")) == b"to you"
    assert session.open(0, bytes(foreign.encrypt(b"to us"))) == b"to us"


def test_another_implementation_calls_us() -> None:
    foreign = _foreign(INITIATOR_STATIC)
    foreign.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, bytes.fromhex(RESPONDER_PUBLIC))
    foreign.set_as_initiator()
    foreign.start_handshake()
    _, responder = both()
    assert responder.read_first(bytes(foreign.write_message(b"hello"))) == b"hello"
    second, session = responder.write_second(b"welcome")
    assert foreign.read_message(second) == b"welcome"
    assert session.open(0, bytes(foreign.encrypt(b"to us"))) == b"to us"
    assert foreign.decrypt(session.seal(0, b"to you")) == b"to you"


def test_every_bent_byte_of_a_handshake_is_noticed() -> None:
    initiator, responder = both()
    first = initiator.write_first(b"hello")
    assert len(first) == FIRST_OVERHEAD_BYTES + 5
    for at in range(len(first)):
        with pytest.raises(RemoteError):
            both()[1].read_first(first[:at] + bytes((first[at] ^ 1,)) + first[at + 1 :])
    responder.read_first(first)
    second, _ = responder.write_second(b"")
    assert len(second) == SECOND_OVERHEAD_BYTES
    for at in range(len(second)):
        with pytest.raises(RemoteError):
            initiator.read_second(second[:at] + bytes((second[at] ^ 1,)) + second[at + 1 :])
    assert initiator.read_second(second)[0] == b""


@pytest.mark.parametrize("size", [0, 31, 32, 47, 48, 95])
def test_short_messages_are_refused(size: int) -> None:
    data = Chance.seeded(1).bytes(size)
    initiator, responder = both()
    initiator.write_first(b"")
    with pytest.raises(RemoteError):
        responder.read_first(data)
    with pytest.raises(RemoteError):
        initiator.read_second(data)


def test_another_prologue_or_responder_is_noticed() -> None:
    with pytest.raises(RemoteError):
        both(b"other")[1].read_first(both()[0].write_first(b""))
    with pytest.raises(RemoteError):
        Responder(key(INITIATOR_EPHEMERAL), key(RESPONDER_EPHEMERAL), PROLOGUE).read_first(both()[0].write_first(b""))


def test_a_responder_answers_once_and_only_after_it_was_asked() -> None:
    initiator, responder = both()
    with pytest.raises(LocalError):
        responder.write_second(b"")
    first = initiator.write_first(b"")
    responder.read_first(first)
    with pytest.raises(LocalError):
        responder.read_first(first)


def test_a_session_opens_nothing_under_another_number() -> None:
    ours, theirs = sessions()
    with pytest.raises(RemoteError):
        theirs.open(2, ours.seal(1, b"x"))
    with pytest.raises(RemoteError):
        theirs.open(1, b"short")
