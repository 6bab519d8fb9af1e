"""PCP and NAT-PMP as bytes: what RFC 6887 and RFC 6886 draw, and arbitrary answers."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.net.port_control import (
    ANSWER_BYTES_MAX,
    Granted,
    pcp_request,
    pmp_address_request,
    pmp_request,
    read_pcp,
    read_pmp,
    read_pmp_address,
)

NONCE = bytes(range(12))


def pcp_answer(host: str = "20.1.1.1", *, result: int = 0, nonce: bytes = NONCE, internal: int = 5_060) -> bytes:
    address = ipaddress.ip_address(host)
    packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    head = bytes((2, 0x81, 0, result)) + (600).to_bytes(4, "big") + (77).to_bytes(4, "big") + bytes(12)
    ports = internal.to_bytes(2, "big") + (40_000).to_bytes(2, "big")
    return head + nonce + bytes((17, 0, 0, 0)) + ports + packed


def pmp_answer(opcode: int, body: bytes, *, result: int = 0) -> bytes:
    return bytes((0, 0x80 | opcode)) + result.to_bytes(2, "big") + (77).to_bytes(4, "big") + body


def test_a_map_request_is_as_the_rfc_draws_it() -> None:
    data = pcp_request("192.168.1.10", NONCE, "udp", 5_060, 5_061, 7_200)
    assert data.hex() == (
        "02010000" + "00001c20" + "00000000000000000000ffffc0a8010a"
        "000102030405060708090a0b" + "11000000" + "13c413c5" + "00000000000000000000ffff00000000"
    )
    v6 = pcp_request("2001:db8::1", NONCE, "tcp", 1, 0, 0)
    assert (len(v6), v6[36], v6[-16:]) == (60, 6, bytes(16))


def test_nat_pmp_requests_are_as_the_rfc_draws_them() -> None:
    assert pmp_address_request() == b"\0\0"
    assert pmp_request("udp", 5_060, 5_061, 7_200).hex() == "00010000" + "13c413c5" + "00001c20"
    assert pmp_request("tcp", 1, 0, 0)[1] == 2


@pytest.mark.parametrize("host", ["20.1.1.1", "2001:db8::7"])
def test_grants_are_read(host: str) -> None:
    assert read_pcp(pcp_answer(host), NONCE, "udp", 5_060) == Granted(host, 40_000, 600)
    body = (5_060).to_bytes(2, "big") + (40_000).to_bytes(2, "big") + (600).to_bytes(4, "big")
    assert read_pmp(pmp_answer(1, body), "udp", 5_060) == Granted("", 40_000, 600)
    assert read_pmp_address(pmp_answer(0, bytes((20, 1, 1, 1)))) == "20.1.1.1"


def test_answers_about_something_else_are_nothing() -> None:
    assert read_pcp(pcp_answer(nonce=bytes(12)), NONCE, "udp", 5_060) is None
    assert read_pcp(pcp_answer(internal=1), NONCE, "udp", 5_060) is None
    assert read_pcp(pcp_answer(), NONCE, "tcp", 5_060) is None
    assert read_pcp(pcp_answer()[:-1], NONCE, "udp", 5_060) is None
    assert read_pcp(pcp_answer() + bytes(ANSWER_BYTES_MAX), NONCE, "udp", 5_060) is None
    assert read_pmp(pmp_answer(2, bytes(8)), "udp", 5_060) is None
    assert read_pmp(pmp_answer(1, bytes(7)), "udp", 5_060) is None
    assert read_pmp(pmp_answer(1, bytes(8)), "udp", 5_060) is None


@pytest.mark.parametrize(("result", "status"), [(1, 505), (2, 403), (4, 505), (7, 503), (8, 403), (200, 403)])
def test_refusals_of_pcp_have_reasons(result: int, status: int) -> None:
    with pytest.raises(RemoteError) as caught:
        read_pcp(pcp_answer(result=result), NONCE, "udp", 5_060)
    assert caught.value.status == status


@pytest.mark.parametrize(("result", "status"), [(1, 505), (2, 403), (3, 503), (5, 505), (9, 403)])
def test_refusals_of_nat_pmp_have_reasons(result: int, status: int) -> None:
    with pytest.raises(RemoteError) as caught:
        read_pmp(pmp_answer(1, bytes(8), result=result), "udp", 5_060)
    assert caught.value.status == status


def test_each_says_that_it_does_not_speak_the_other() -> None:
    with pytest.raises(RemoteError) as caught:
        read_pcp(bytes((0, 0x81, 0, 1)) + bytes(4), NONCE, "udp", 5_060)
    assert caught.value.status == 505
    with pytest.raises(RemoteError) as caught:
        read_pmp(pcp_answer(result=1), "udp", 5_060)
    assert caught.value.status == 505


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=78).map(lambda rest: b"\2\x81" + rest)))
def test_arbitrary_answers_give_a_grant_or_nothing_or_a_remote_error(data: bytes) -> None:
    for read in (
        lambda: read_pcp(data, NONCE, "udp", 5_060),
        lambda: read_pmp(data, "udp", 5_060),
        lambda: read_pmp_address(data),
    ):
        with contextlib.suppress(RemoteError):
            assert read() is None or isinstance(read(), Granted | str)


@given(st.integers(0, 59), st.integers(0, 255))
def test_a_changed_byte_gives_a_grant_or_nothing_or_a_remote_error(place: int, value: int) -> None:
    data = bytearray(pcp_answer())
    data[place] = value
    try:
        found = read_pcp(bytes(data), NONCE, "udp", 5_060)
    except RemoteError:
        return
    assert found is None or isinstance(found, Granted)
