"""Whatever comes, every parser of the SIP core gives a value or a RemoteError; and what it gives can be written and read again."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_response
from p2psip.sip.digest import Challenge, DigestServer, digest_secret, format_fields, parse_fields
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.framing import StreamFramer
from p2psip.sip.headers import CSeq, NameAddr, Via
from p2psip.sip.layer import TransactionLayer
from p2psip.sip.message import Message, Request
from p2psip.sip.parser import parse_message
from p2psip.sip.sdp import SessionDescription
from p2psip.sip.uri import SipUri, parse_uri
from tests.sip.corpus import CORPUS

FLOW = Flow("udp", ("192.0.2.250", 5060), ("198.51.100.7", 5060))
SDP = CORPUS["wsinv"].partition(b"\r\n\r\n")[2] + b"a=fmtp:31 x=y\r\na=sendonly\r\n"
CREDENTIALS = (
    b'Digest username="alice", realm="home.example", nonce="2710-1-00", uri="sip:home.example", response="00",'
    b' algorithm=SHA-256, cnonce="0a4f113b", qop=auth, nc=00000001, opaque="a\\"b"'
)
TELLING = st.sampled_from(
    [
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n ",
        b"\0",
        b"\r",
        b"\n",
        b'"',
        b"\\",
        b"<",
        b">",
        b";",
        b",",
        b"=",
        b":",
        b"@",
        b"%",
        b"%0",
        b"\xff",
        b"\xc3\xa9",
        b"\x0b",
        b"\xe2\x80\xa8",
        b"9" * 30,
        b"a" * 300,
        b"l: 1",
        b"Via: x",
        b"SIP/2.0",
        b"sip:",
        b"*",
        b"[::1]",
    ]
)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of `originals` with a few pieces cut out, doubled, or replaced by what parsers stumble over."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        piece = draw(st.one_of(TELLING, st.binary(max_size=4), st.just(data[start:end] * 2)))
        data = data[:start] + piece + data[end:]
    return data


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


MESSAGES = mutated(list(CORPUS.values()))
ANYTHING = st.one_of(st.binary(max_size=400), MESSAGES)
VALUES = st.one_of(st.binary(max_size=100), st.lists(TELLING, max_size=12).map(b"".join)).map(_text)


def _touch(message: Message) -> None:
    """Every typed accessor gives a value or a SipSyntaxError."""
    for name in ("vias", "top_via", "from_", "to", "call_id", "cseq", "is_star_contact", "contacts", "routes"):
        getattr(message, name)
    for name in ("record_routes", "max_forwards", "expires", "content_type"):
        with suppress(SipSyntaxError):
            getattr(message, name)


def _same(one: Message, other: Message) -> bool:
    fields = [[pair for pair in message.headers if pair[0] != "Content-Length"] for message in (one, other)]
    return fields[0] == fields[1] and (one.start_line(), one.body) == (other.start_line(), other.body)


@given(ANYTHING)
@example(CORPUS["intmeth"])
def test_a_message_is_read_or_refused_and_what_is_read_is_written_and_read_the_same(data: bytes) -> None:
    try:
        found = parse_message(data)
    except SipSyntaxError:
        return
    _touch(found)
    assert _same(parse_message(found.to_bytes()), found)
    if isinstance(found, Request):
        assert parse_message(make_response(found, 200, to_tag="t").to_bytes()).cseq == found.cseq


@given(ANYTHING)
def test_an_answer_to_what_is_refused_has_no_more_lines_than_it_should(data: bytes) -> None:
    try:
        parse_message(data)
    except SipSyntaxError as error:
        if error.request is not None:
            answer = make_response(error.request, error.status)
            head = answer.to_bytes().partition(b"\r\n\r\n")[0]
            lines = 2 + len([name for name, _value in answer.headers if name != "Content-Length"])
            assert head.count(b"\n") == head.count(b"\r") == lines - 1


@given(st.lists(ANYTHING, max_size=4))
def test_the_transaction_layer_takes_anything(datagrams: list[bytes]) -> None:
    layer = TransactionLayer(Chance.seeded(1))
    for data in datagrams:
        layer.receive(data, FLOW, 0.0)
        list(iter(layer.poll_output, None))
    layer.handle_timeout(1000.0)
    list(iter(layer.poll_output, None))


@pytest.mark.parametrize("parse", [NameAddr.parse, Via.parse, CSeq.parse, parse_uri])
@given(text=VALUES)
@example(text="<sip:a@h>;x=y")
@example(text='"" <tel:1>')
@example(text="SIP/2.0/UDP h:1;a=b")
@example(text="1 INVITE")
def test_a_value_is_read_or_refused_and_written_and_read_the_same(parse: Callable[[str], object], text: str) -> None:
    try:
        found = parse(text)
    except SipSyntaxError:
        return
    assert parse(str(found)) == found


@given(
    data=mutated([b"sip:alice;d=1:se%63ret@[2001:db8::1]:5061;transport=tcp;lr?Subject=a%20b&x=", b"tel:+1-201;ext=1"])
)
def test_a_mutated_uri_is_read_or_refused_and_matches_itself(data: bytes) -> None:
    try:
        found = parse_uri(_text(data))
    except SipSyntaxError:
        return
    assert parse_uri(str(found)) == found
    if isinstance(found, SipUri):
        assert found.matches(found)
        assert SipUri.parse(str(SipUri.of_address(found.address))).address == found.address


@given(data=st.one_of(st.binary(max_size=400), mutated([SDP])))
def test_a_description_is_read_or_refused_and_written_and_read_the_same(data: bytes) -> None:
    try:
        found = SessionDescription.parse(data)
    except RemoteError:
        return
    for media in found.media:
        assert media.codecs is not None
        assert found.direction(media)
    wire = found.to_bytes()
    assert SessionDescription.parse(wire) == found
    assert SessionDescription.parse(wire).to_bytes() == wire


@given(
    data=st.one_of(
        st.binary(max_size=200), mutated([CREDENTIALS, b'Digest realm="r", nonce="n", qop="auth", stale=true'])
    )
)
@example(data=b'Digest qop="\x00\t",nc="a b"')
def test_digest_fields_are_read_or_refused_and_never_accepted(data: bytes) -> None:
    server = DigestServer("home.example", Chance.seeded(1))
    secret = digest_secret("SHA-256", "alice", "home.example", "wonder")
    try:
        fields = parse_fields(_text(data))
        assert not server.check(fields, "REGISTER", secret, "SHA-256", 10.0).accepted
        assert parse_fields(format_fields(fields)) == fields
        Challenge.parse(_text(data))
    except SipSyntaxError:
        return


def _cut(pieces: list[bytes]) -> tuple[list[bytes], int, bool]:
    """The messages of a stream, the keep-alives, and whether it was lost."""
    framer, found = StreamFramer(), list[bytes]()
    try:
        for piece in pieces:
            framer.feed(piece)
            found += iter(framer.next_message, None)
    except SipSyntaxError:
        return found, framer.pings, True
    return found, framer.pings, False


@given(parts=st.lists(st.one_of(MESSAGES, TELLING, st.binary(max_size=20)), max_size=5), data=st.data())
def test_a_stream_gives_the_same_however_it_is_split(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert _cut(pieces) == _cut([stream])
