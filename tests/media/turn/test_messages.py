"""The server's own STUN codec: held against aioice's both ways, and nothing but RemoteError for garbage."""

import pytest
from aioice import stun as oracle
from hypothesis import given
from hypothesis import strategies as st

from media.turn import messages
from media.turn.messages import ATTRIBUTES_MAX, MESSAGE_BYTES_MAX, PEERS_MAX, attribute, read, write
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

TRANSACTION = bytes(range(12))
KEY = b"k" * 16
ADDRESSES: list[Address] = [("192.0.2.1", 1), ("255.255.255.255", 65_535), ("2001:db8::1", 3478), ("::1", 8226)]

hosts = st.ip_addresses().map(str).filter(lambda host: "." not in host or ":" not in host)
addresses = st.tuples(hosts, st.integers(0, 65_535))


@pytest.mark.parametrize("address", ADDRESSES)
def test_aioice_reads_what_we_write(address: Address) -> None:
    body = messages.address_attribute(messages.XOR_RELAYED_ADDRESS, address, TRANSACTION)
    body += messages.address_attribute(messages.XOR_MAPPED_ADDRESS, address, TRANSACTION)
    body += attribute(messages.LIFETIME, (600).to_bytes(4, "big")) + attribute(messages.NONCE, b"odd")
    data = write(messages.SUCCESS, messages.ALLOCATE, TRANSACTION, body, KEY, True)
    message = oracle.parse_message(data)
    assert message.check_message_integrity(KEY)
    assert message.message_method == oracle.Method.ALLOCATE
    assert message.message_class == oracle.Class.RESPONSE
    assert message.attributes["XOR-RELAYED-ADDRESS"] == message.attributes["XOR-MAPPED-ADDRESS"] == address
    assert (message.attributes["LIFETIME"], message.attributes["NONCE"]) == (600, b"odd")


def test_aioice_reads_our_errors() -> None:
    body = messages.error_attribute(438, "Stale Nonce")
    message = oracle.parse_message(write(messages.ERROR, messages.REFRESH, TRANSACTION, body, None, True))
    assert message.attributes["ERROR-CODE"] == (438, "Stale Nonce")
    assert message.message_class == oracle.Class.ERROR


@pytest.mark.parametrize("address", ADDRESSES)
def test_we_read_what_aioice_writes(address: Address) -> None:
    request = oracle.Message(oracle.Method.CHANNEL_BIND, oracle.Class.REQUEST, TRANSACTION)
    request.attributes.update({"CHANNEL-NUMBER": 0x4001, "XOR-PEER-ADDRESS": address, "USERNAME": "alice"})
    request.add_message_integrity(KEY)
    message = read(bytes(request))
    assert (message.method, message.kind, message.transaction) == (messages.CHANNEL_BIND, messages.REQUEST, TRANSACTION)
    assert message.peers == [address]
    assert message.attributes[messages.USERNAME] == b"alice"
    assert message.has_fingerprint
    assert message.is_signed_with(KEY)
    assert not message.is_signed_with(b"other")


@pytest.mark.parametrize("kind", [messages.REQUEST, messages.INDICATION, messages.SUCCESS, messages.ERROR])
@given(method=st.integers(0, 15), body=st.binary(max_size=40), peer=addresses)
def test_what_is_written_is_read(kind: int, method: int, body: bytes, peer: Address) -> None:
    parts = attribute(messages.NONCE, body) + messages.address_attribute(messages.XOR_PEER_ADDRESS, peer, TRANSACTION)
    message = read(write(kind, method, TRANSACTION, parts, KEY, True))
    assert (message.kind, message.method, message.peers) == (kind, method, [peer])
    assert message.attributes == {messages.NONCE: body}
    assert message.is_signed_with(KEY)


def test_attributes_behind_the_integrity_are_not_believed_and_of_two_the_first_counts() -> None:
    body = attribute(messages.REALM, b"first") + attribute(messages.REALM, b"second")
    data = write(messages.REQUEST, messages.REFRESH, TRANSACTION, body, KEY)
    late = attribute(messages.NONCE, b"late") + attribute(0x7FFF, b"")
    data = data[:2] + (len(data) - 20 + len(late)).to_bytes(2, "big") + data[4:] + late
    message = read(data)
    assert message.attributes == {messages.REALM: b"first"}
    assert message.unknown == ()
    assert message.is_signed_with(KEY)


def test_one_attribute_one_peer_and_one_byte_too_many() -> None:
    peers = [messages.address_attribute(messages.XOR_PEER_ADDRESS, ADDRESSES[0], TRANSACTION)] * (PEERS_MAX + 1)
    for parts, most in (
        ([attribute(messages.REALM, b"")] * (ATTRIBUTES_MAX + 1), ATTRIBUTES_MAX),
        (peers, PEERS_MAX),
    ):
        assert read(write(messages.REQUEST, messages.REFRESH, TRANSACTION, b"".join(parts[:most]), None))
        with pytest.raises(RemoteError):
            read(write(messages.REQUEST, messages.REFRESH, TRANSACTION, b"".join(parts), None))
    fits = attribute(messages.DATA_VALUE, bytes(MESSAGE_BYTES_MAX - 24))
    assert read(write(messages.INDICATION, messages.SEND, TRANSACTION, fits, None))
    over = attribute(messages.DATA_VALUE, bytes(MESSAGE_BYTES_MAX - 20))
    with pytest.raises(RemoteError):
        read(write(messages.INDICATION, messages.SEND, TRANSACTION, over, None))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_message_or_a_remote_error(data: bytes) -> None:
    for each in (data, b"\x00\x03" + len(data).to_bytes(2, "big") + messages.COOKIE + TRANSACTION + data):
        try:
            message = read(each)
            _ = message.peers
        except RemoteError:
            continue
        message.is_signed_with(KEY)


@given(position=st.integers(0, 103), value=st.integers(0, 255), cut=st.integers(0, 104))
def test_mutated_messages_give_a_message_or_a_remote_error(position: int, value: int, cut: int) -> None:
    body = b"".join(messages.address_attribute(messages.XOR_PEER_ADDRESS, each, TRANSACTION) for each in ADDRESSES[1:])
    data = bytearray(write(messages.REQUEST, messages.CREATE_PERMISSION, TRANSACTION, body, KEY))
    assert len(data) == 104
    data[position] = value
    for each in (bytes(data), bytes(data[:cut])):
        try:
            _ = read(each).peers
        except RemoteError:
            continue
