"""Datagrams on a stream: whole whatever the chunks, garbage refused, what is too large skipped."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import LocalError, RemoteError
from p2psip.net.framing import DATAGRAM_BYTES_MAX, MAGIC_COOKIE, StreamFramer


def stun(body: bytes = b"") -> bytes:
    return b"\x00\x01" + len(body).to_bytes(2, "big") + MAGIC_COOKIE + bytes(12) + body


def channel(body: bytes, number: int = 0x4000) -> bytes:
    return number.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def drain(framer: StreamFramer) -> list[bytes]:
    found = []
    while (datagram := framer.next()) is not None:
        found.append(datagram)
    return found


datagrams = st.one_of(
    st.integers(0, 50).map(lambda words: stun(bytes(4 * words))),
    st.builds(channel, st.binary(max_size=200), st.integers(0x4000, 0x4FFF)),
    st.builds(lambda first, rest: bytes([first]) + rest, st.integers(192, 255), st.binary(max_size=300)),
)


@given(st.lists(datagrams, max_size=12), st.lists(st.integers(1, 97), min_size=1))
def test_what_goes_in_comes_out_whatever_the_chunks(sent: list[bytes], cuts: list[int]) -> None:
    sent = [stun(), *sent]
    stream = b"".join(map(StreamFramer.frame, sent))
    framer, found, position = StreamFramer(), [], 0
    while position < len(stream):
        size = cuts[position % len(cuts)]
        framer.feed(stream[position : position + size])
        found += drain(framer)
        position += size
    assert found == sent


@given(st.lists(st.binary(max_size=64), max_size=20), st.booleans())
def test_arbitrary_bytes_give_datagrams_or_a_remote_error(chunks: list[bytes], begun: bool) -> None:
    framer = StreamFramer()
    if begun:
        framer.feed(stun())
    try:
        for chunk in chunks:
            framer.feed(chunk)
            for datagram in drain(framer):
                assert 0 < len(datagram) <= DATAGRAM_BYTES_MAX
    except RemoteError:
        pass


@given(st.data())
def test_a_changed_byte_gives_datagrams_or_a_remote_error(data: st.DataObject) -> None:
    stream = bytearray(b"".join(map(StreamFramer.frame, data.draw(st.lists(datagrams, min_size=1, max_size=6)))))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    framer = StreamFramer()
    framer.feed(bytes(stream))
    with contextlib.suppress(RemoteError):
        drain(framer)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n",
        b"INVITE sip:",
        b"\x16\x03\x01\x00",
        b"\x00\x01\x00\x03",
        b"\x00\x01\x00\x00\x21\x13",
        b"\xc1\x00\x00\x01\xc0",
        b"\xc0\x00\x00\x01A",
        b"\x80\x00\x00\x01",
        channel(b"before anything else"),
    ],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    framer = StreamFramer()
    framer.feed(garbage)
    with pytest.raises(RemoteError):
        framer.next()


@pytest.mark.parametrize(
    "large",
    [
        stun(bytes(DATAGRAM_BYTES_MAX - 20 + 4)),
        channel(bytes(DATAGRAM_BYTES_MAX - 4 + 1)) + bytes(3),
        b"\xc0\x00" + (DATAGRAM_BYTES_MAX + 1).to_bytes(2, "big") + b"\xc0" + bytes(DATAGRAM_BYTES_MAX),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1_000, 5_000])
def test_one_byte_more_than_a_datagram_is_skipped_and_the_next_is_found(large: bytes, chunk: int) -> None:
    framer, found = StreamFramer(), []
    stream = stun() + large + stun(b"next")
    for position in range(0, len(stream), chunk):
        framer.feed(stream[position : position + chunk])
        found += drain(framer)
    assert found == [stun(), stun(b"next")]
    assert framer.skipped == 1


def test_the_largest_datagrams_pass() -> None:
    largest = [
        stun(bytes(DATAGRAM_BYTES_MAX - 20)),
        channel(bytes(DATAGRAM_BYTES_MAX - 4)),
        b"\xc0" * DATAGRAM_BYTES_MAX,
    ]
    framer = StreamFramer()
    framer.feed(b"".join(map(StreamFramer.frame, largest)))
    assert drain(framer) == largest


@pytest.mark.parametrize("datagram", [b"", b"\x16dtls", b"\x80rtp", b"\xc0" * (DATAGRAM_BYTES_MAX + 1)])
def test_what_no_stream_carries_is_our_own_mistake(datagram: bytes) -> None:
    with pytest.raises(LocalError):
        StreamFramer.frame(datagram)


def test_an_empty_frame_is_nothing_and_empty_channel_data_is_something() -> None:
    framer = StreamFramer()
    framer.feed(b"\xc0\x00\x00\x00" + channel(b""))
    assert drain(framer) == [channel(b"")]
