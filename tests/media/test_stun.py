"""STUN: the published vectors of RFC 5769, integrity and fingerprint, and anything at all thrown at the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import stun
from p2psip.base.errors import RemoteError

PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
VALID = (
    REQUEST,
    RESPONSE_V4,
    RESPONSE_V6,
    stun.binding_request(
        bytes(12), "there:here", "secret", {"PRIORITY": 1, "ICE-CONTROLLING": 7, "USE-CANDIDATE": None}
    ),
    stun.dtls_indication(bytes(12), "there:here", "secret", b"\x16" * 300),
    stun.binding_error(stun.parse(REQUEST), 487, "Role Conflict", PASSWORD),
)


def test_the_sample_request_of_rfc_5769() -> None:
    message = stun.parse(REQUEST)
    stun.verify(message, PASSWORD)
    assert (message.message_method, message.message_class) == (stun.Method.BINDING, stun.Class.REQUEST)
    assert message.transaction_id == stun.transaction_id(REQUEST) == TRANSACTION
    assert message.attributes["USERNAME"] == "evtj:h6vY"
    assert message.attributes["PRIORITY"] == 0x6E0001FF
    assert message.attributes["ICE-CONTROLLED"] == 0x932FF9B151263B36
    assert stun.is_request(REQUEST)


@pytest.mark.parametrize(
    ("data", "mapped"),
    [(RESPONSE_V4, ("192.0.2.1", 32853)), (RESPONSE_V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))],
)
def test_the_sample_responses_of_rfc_5769(data: bytes, mapped: tuple[str, int]) -> None:
    message = stun.parse(data)
    stun.verify(message, PASSWORD)
    assert message.attributes["XOR-MAPPED-ADDRESS"] == mapped
    assert stun.is_response(data)
    assert not stun.is_request(data)
    assert not stun.is_indication(data)


def test_another_password_does_not_hold() -> None:
    with pytest.raises(RemoteError) as caught:
        stun.verify(stun.parse(REQUEST), PASSWORD + "x")
    assert caught.value.status == 401


def test_a_message_without_integrity_does_not_hold() -> None:
    error = stun.parse(stun.binding_error(stun.parse(REQUEST), 400, "Bad Request", None))
    with pytest.raises(RemoteError):
        stun.verify(error, PASSWORD)


def test_what_is_appended_behind_the_integrity_is_not_believed() -> None:
    # RFC 8489 §14.5: attributes after MESSAGE-INTEGRITY are ignored, FINGERPRINT excepted
    plain = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, bytes(12), {"USERNAME": "a:b", "PRIORITY": 1})
    plain.add_message_integrity(b"secret")
    del plain.attributes["FINGERPRINT"]
    plain.attributes["USE-CANDIDATE"] = None
    plain.add_fingerprint()
    message = stun.parse(bytes(plain))
    stun.verify(message, "secret")
    assert "USE-CANDIDATE" not in message.attributes


@pytest.mark.parametrize(("data", "password"), [*((data, PASSWORD) for data in VALID[:3]), (VALID[3], "secret")])
def test_one_turned_bit_never_changes_what_is_believed(data: bytes, password: str) -> None:
    meant = _believed(data, password)
    assert meant is not None
    for bit in range(8 * len(data)):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        assert _believed(bytes(turned), password) in (None, meant)


def test_each_kind_round_trips_and_is_told_apart() -> None:
    request = stun.binding_request(bytes(12), "there:here", "secret", {"PRIORITY": 5})
    success = stun.binding_success(stun.parse(request), ("2001:db8::1", 4000), "secret")
    indication = stun.dtls_indication(bytes(12), "there:here", "secret", b"hello")
    for data, kind in ((request, stun.is_request), (success, stun.is_response), (indication, stun.is_indication)):
        stun.verify(stun.parse(data), "secret")
        assert [check(data) for check in (stun.is_request, stun.is_response, stun.is_indication)].count(True) == 1
        assert kind(data)
    assert stun.parse(indication).attributes["DATA"] == b"hello"
    assert stun.parse(success).attributes["XOR-MAPPED-ADDRESS"] == ("2001:db8::1", 4000)


def test_a_datagram_one_byte_over_the_bound_is_no_stun() -> None:
    def sized(length: int) -> bytes:
        return b"\x00\x01" + (length - 20).to_bytes(2, "big") + REQUEST[4:20] + bytes(length - 20)

    assert stun.is_stun(sized(stun.STUN_BYTES_MAX))
    assert not stun.is_stun(sized(stun.STUN_BYTES_MAX + 1))
    with pytest.raises(RemoteError):
        stun.parse(sized(stun.STUN_BYTES_MAX + 1))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_a_remote_error(data: bytes) -> None:
    _parse_or_refuse(data)
    _parse_or_refuse(b"\x00\x01" + len(data).to_bytes(2, "big") + REQUEST[4:20] + data)


@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 60),
)
def test_changed_messages_are_a_message_or_a_remote_error(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(data)
    for position, value in changes:
        changed[position % len(changed)] = value
    _parse_or_refuse(bytes(changed))
    _parse_or_refuse(bytes(changed[: len(changed) - cut]))


_ATTRIBUTE = st.tuples(
    st.sampled_from([1, 6, 8, 9, 0xC, 0x12, 0x13, 0x14, 0x20, 0x24, 0x25, 0x8022, 0x8029, 0x802A, 0x7777]),
    st.binary(max_size=24),
)


@given(st.sampled_from([0x0001, 0x0011, 0x0101, 0x0111, 0x0003, 0x3FFF]), st.lists(_ATTRIBUTE, max_size=5))
def test_any_attributes_are_a_message_or_a_remote_error(kind: int, attributes: list[tuple[int, bytes]]) -> None:
    body = b"".join(
        name.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)
        for name, value in attributes
    )
    _parse_or_refuse(kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + REQUEST[4:20] + body)


def _parse_or_refuse(data: bytes) -> None:
    """Parsing and checking give a value or a RemoteError; what is no RemoteError fails the test by itself."""
    try:
        stun.verify(stun.parse(data), "secret")
    except RemoteError:
        return


def _believed(data: bytes, password: str) -> tuple[object, ...] | None:
    """All that a reader acts on, or None when the message is refused."""
    try:
        message = stun.parse(data)
        stun.verify(message, password)
    except RemoteError:
        return None
    attributes = {name: value for name, value in message.attributes.items() if name != "FINGERPRINT"}
    return (message.message_method, message.message_class, message.transaction_id, attributes)
