"""Bodies of requests and answers: round trips, bounds, and no other error than a refusal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.messages import (
    ADDRESSES_MAX,
    INTRODUCERS_MAX,
    RENEW,
    REQUEST_BYTES_MAX,
    TEXT_CHARACTERS_MAX,
    DeviceRequest,
    Enrolment,
    EnrolRequest,
    Introducer,
    bounded,
    decode_device,
    decode_enrol,
    decode_enrolment,
    encode_device,
    encode_enrol,
    encode_enrolment,
    encode_problem,
    problem_detail,
)
from p2psip.base.errors import RemoteError

ENROL = EnrolRequest("alice", b"request", 1_700_000_000, bytes(16), "passwörd", "t" * 26, 1234)
DEVICE = DeviceRequest(RENEW, b"certificate", 1_700_000_000, bytes(16), bytes(64))
PEER = Introducer(bytes(32), (("127.0.0.1", 4500), ("2001:db8::1", 4500)))
ENROLMENT = Enrolment(b"certificate", b"authority", bytes(80), (PEER,))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_round_trips() -> None:
    assert decode_enrol(encode_enrol(ENROL)) == ENROL
    assert decode_enrol(encode_enrol(EnrolRequest("a", b"r", 0, bytes(16)))) == EnrolRequest("a", b"r", 0, bytes(16))
    assert decode_device(encode_device(DEVICE), RENEW) == DEVICE
    assert decode_enrolment(encode_enrolment(ENROLMENT)) == ENROLMENT
    assert problem_detail(encode_problem(403, "Forbidden", "no")) == "no"


def test_introducers_are_bounded() -> None:
    many = [Introducer(PEER.node_key, PEER.addresses * ADDRESSES_MAX)] * (INTRODUCERS_MAX + 1)
    few = bounded(many)
    assert len(few) == INTRODUCERS_MAX
    assert {len(each.addresses) for each in few} == {ADDRESSES_MAX}
    over = Enrolment(b"certificate", b"authority", bytes(80), tuple(many))
    with pytest.raises(RemoteError, match="introducers"):
        decode_enrolment(encode_enrolment(over))


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": None},
        {"name": "x" * (TEXT_CHARACTERS_MAX + 1)},
        {"name": "\ud800"},
        {"timestamp": "1"},
        {"timestamp": True},
        {"timestamp": -1},
        {"timestamp": 1 << 60},
        {"timestamp": 1.5},
        {"nonce": ""},
        {"nonce": "AA=="},
        {"nonce": "!"},
        {"nonce": 5},
        {"certificate_request": ""},
        {"certificate_request": "A" * 4096},
        {"number": "1001"},
        {"password": 12345678},
        {"token": []},
    ],
)
def test_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    fields = json.loads(encode_enrol(ENROL)) | change
    with pytest.raises(RemoteError) as error:
        decode_enrol(json.dumps(fields).encode())
    assert error.value.status == 400


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"1", b"[" * 10_000, b"\xff", b'{"name":' + b"9" * 5_000 + b"}", b"nul"]
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    for decode in (decode_enrol, decode_enrolment):
        with pytest.raises(RemoteError):
            decode(data)
    assert problem_detail(data) is None


def test_a_body_over_the_bound_is_refused() -> None:
    with pytest.raises(RemoteError, match="smaller") as error:
        decode_enrol(b" " * (REQUEST_BYTES_MAX + 1))
    assert error.value.status == 413


@given(values, st.sampled_from([ENROL, DEVICE, ENROLMENT]), st.integers(0, 6))
def test_any_value_anywhere_is_decoded_or_refused(value: object, start: object, place: int) -> None:
    encoded = {EnrolRequest: encode_enrol, DeviceRequest: encode_device, Enrolment: encode_enrolment}[type(start)](
        start
    )  # type: ignore[operator]
    fields = json.loads(encoded)
    fields[list(fields)[place % len(fields)]] = value
    data = json.dumps(fields).encode()
    for decode in (decode_enrol, decode_enrolment, lambda each: decode_device(each, RENEW)):
        try:
            decode(data)
        except RemoteError:
            continue


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (decode_enrol, decode_enrolment, problem_detail):
        try:
            decode(data)
        except RemoteError:
            continue
