"""The Replaces header field: what is read, and that nothing but its own error comes out of garbage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.calls.replacing import REPLACES_CHARACTERS_MAX, Replaces
from p2psip.sip.build import make_request
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.headers import NameAddr
from p2psip.sip.uri import SipUri

ALICE = SipUri.parse("sip:alice@home.example")
_TOKEN = st.text("abcXYZ019.-_~", min_size=1, max_size=20)


def test_a_replaces_names_a_dialog_as_its_recipient_has_it() -> None:
    found = Replaces.parse("425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only;unknown=x")
    assert found == Replaces("425928@bobster.example.org", "7743", "6472", early_only=True)
    assert found.dialog_id == ("425928@bobster.example.org", "7743", "6472")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "call",
        ";to-tag=a;from-tag=b",
        "call;to-tag=a",
        "call;from-tag=b",
        "call;to-tag=a;to-tag=c;from-tag=b",
        "call;to-tag=a;from-tag=b;from-tag=b",
        "call;to-tag=;from-tag=b",
        "two words;to-tag=a;from-tag=b",
        "one, two;to-tag=a;from-tag=b",
        "x" * REPLACES_CHARACTERS_MAX + ";to-tag=a;from-tag=b",
    ],
)
def test_what_is_no_replaces(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Replaces.parse(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(("method", "values"), [("INVITE", 2), ("BYE", 1), ("REFER", 1)])
def test_it_stands_once_and_in_an_invite(method: str, values: int) -> None:
    header = ("Replaces", "call;to-tag=a;from-tag=b")
    alice = NameAddr(None, ALICE)
    request = make_request(method, ALICE, from_=alice, to=alice, call_id="1", cseq=1, headers=[header] * values)
    with pytest.raises(SipSyntaxError):
        Replaces.of_request(request)


def test_a_refer_to_carries_it_escaped() -> None:
    uri = SipUri.parse("sip:bob@192.0.2.1?replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2%3Bearly-only&X=y")
    assert Replaces.of_uri(uri) == Replaces("a@b", "1", "2", early_only=True)
    assert Replaces.of_uri(ALICE) is None
    with pytest.raises(SipSyntaxError):
        Replaces.of_uri(SipUri.parse("sip:bob@192.0.2.1?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&REPLACES=b"))


@given(_TOKEN, _TOKEN, _TOKEN, st.booleans())
def test_what_is_written_is_read_again(call_id: str, to_tag: str, from_tag: str, early_only: bool) -> None:
    replaces = Replaces(call_id, to_tag, from_tag, early_only)
    assert Replaces.parse(str(replaces)) == replaces


@given(st.text(max_size=200) | st.text('abc;=,-totagfrmely \t"\\', max_size=100))
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    try:
        found = Replaces.parse(text)
    except SipSyntaxError:
        return
    assert found.call_id
    assert found.to_tag
    assert found.from_tag
