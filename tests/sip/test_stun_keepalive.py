"""The STUN keep-alive on the SIP port: what is answered, with what, and that nothing else is."""

import struct

import aioice.stun
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2psip.base.core import Address
from p2psip.sip.stun_keepalive import REQUEST_BYTES_MAX, is_stun, keepalive_answer
from tests.sip.loopback import plain_socket, service, settle

SOURCES = [("192.0.2.7", 5060), ("2001:db8::7", 65_535), ("127.0.0.1", 1)]


def request(**attributes: object) -> aioice.stun.Message:
    message = aioice.stun.Message(
        message_method=aioice.stun.Method.BINDING,
        message_class=aioice.stun.Class.REQUEST,
        transaction_id=b"0123456789ab",
    )
    message.attributes.update(attributes)
    return message


@pytest.mark.parametrize("source", SOURCES)
def test_a_phone_is_told_where_it_was_seen(source: Address) -> None:
    answer = keepalive_answer(bytes(request()), source)
    assert answer is not None
    parsed = aioice.stun.parse_message(answer)
    assert (parsed.message_class, parsed.transaction_id) == (aioice.stun.Class.RESPONSE, b"0123456789ab")
    assert parsed.attributes["XOR-MAPPED-ADDRESS"] == source


def test_attributes_that_need_not_be_understood_do_not_matter() -> None:
    assert keepalive_answer(bytes(request(SOFTWARE="phone")), SOURCES[0])
    assert keepalive_answer(bytes(request(USERNAME="x")), SOURCES[0]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
        bytes(request())[:-1],
        bytes(request()) + b"\0\0\0\0",
        bytes(aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.RESPONSE)),
        bytes(aioice.stun.Message(aioice.stun.Method.ALLOCATE, aioice.stun.Class.REQUEST)),
        struct.pack("!HHI12s", 1, 4, 0x2112A442, b"x" * 12) + b"\xff\xff\0\x08",
        struct.pack("!HHI12s", 1, REQUEST_BYTES_MAX - 16, 0x2112A442, b"x" * 12) + b"\xff" * (REQUEST_BYTES_MAX - 16),
    ],
)
def test_nothing_else_is_answered(data: bytes) -> None:
    assert keepalive_answer(data, SOURCES[0]) is None


@given(st.binary(max_size=64), st.sampled_from(SOURCES))
def test_garbage_is_not_answered_or_by_less_than_three_times_as_much(data: bytes, source: Address) -> None:
    for each in (data, bytes(request())[:8] + data, bytes(request()) + data):
        answer = keepalive_answer(each, source)
        assert answer is None or (is_stun(each) and len(answer) < 3 * len(each))


@pytest.mark.parametrize("local", ["127.0.0.1", "::1"])
async def test_the_port_of_sip_answers(local: str, autojump_clock: MockClock) -> None:
    async with service(local) as (sip, bound):
        with plain_socket(local) as phone:
            phone.sendto(bytes(request()), bound)
            await settle()
            parsed = aioice.stun.parse_message(phone.recv(1_000))
            assert parsed.attributes["XOR-MAPPED-ADDRESS"] == phone.getsockname()[:2]
            assert sip.statistics()["malformed"] == 0
