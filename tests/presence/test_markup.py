"""XML from strangers: bombs, bounds and garbage."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.presence.markup import DEPTH_MAX, ELEMENTS_MAX, MARKUP_BYTES_MAX, element, parse_markup, text_of, words

BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>"""


@pytest.mark.parametrize(
    "data", [BOMB, OUTSIDE, b'<!DOCTYPE x SYSTEM "http://192.0.2.1/x.dtd"><x/>', b"<!DOCTYPE x><x/>"]
)
def test_a_document_type_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError, match="document type"):
        parse_markup(data)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"<x>", b"<x>&e;</x>", b"<x></y>", b"<?xml version='1.0' encoding='utf-7'?><x>+"]
)
def test_what_is_no_xml_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_markup(data)


def test_bounds() -> None:
    assert parse_markup(b"<x>" + b" " * (MARKUP_BYTES_MAX - 7) + b"</x>").tag == "x"
    parse_markup(b"<x>" * DEPTH_MAX + b"</x>" * DEPTH_MAX)
    parse_markup(b"<x>" + b"<y/>" * (ELEMENTS_MAX - 1) + b"</x>")
    for data in (
        b"<x>" + b" " * (MARKUP_BYTES_MAX - 6) + b"</x>",
        b"<x>" * (DEPTH_MAX + 1) + b"</x>" * (DEPTH_MAX + 1),
        b"<x>" + b"<y/>" * ELEMENTS_MAX + b"</x>",
    ):
        with pytest.raises(RemoteError) as caught:
            parse_markup(data)
        assert caught.value.status == 413


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0xD7FF), max_size=40))
def test_text_comes_back_as_it_went(text: str) -> None:
    root = parse_markup(element("x", element("y", words(text)), label=text).encode())
    assert text_of(root.find("y")) == text.strip()
    assert root.get("label") == text


@pytest.mark.parametrize("letter", ["\udcff", "\0", "\x1b", "\uffff"])
def test_what_no_document_may_hold_is_replaced(letter: str) -> None:
    root = parse_markup(element("x", element("y", words(f"a{letter}b")), label=letter).encode())
    assert text_of(root.find("y")) == "a\ufffdb"
    assert root.get("label") == "\ufffd"


@given(st.binary(max_size=200) | st.text(alphabet='<>/!?[]&;"= \nxab', max_size=80).map(str.encode))
def test_garbage_raises_nothing_else(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_markup(data)
