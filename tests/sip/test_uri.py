"""URIs: reading and writing, escapes, the comparison of RFC 3261 §19.1.4, other schemes, bounds."""

import pytest

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import PARAMETERS_MAX
from p2psip.sip.uri import URI_CHARACTERS_MAX, OtherUri, SipUri, escape_user, parse_uri, unescape

EXAMPLES = (  # RFC 3261 §19.1.3
    "sip:alice@atlanta.com",
    "sip:alice:secretword@atlanta.com;transport=tcp",
    "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
    "sip:+1-212-555-1212:1234@gateway.com;user=phone",
    "sips:1212@gateway.com",
    "sip:alice@192.0.2.4",
    "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
    "sip:alice;day=tuesday@atlanta.com",
    "sip:[2001:db8::10]:5070",  # RFC 5118 §4.1
    "sip:alice@[2001:db8::9:1]",
    "sip:a@example.com.",
    "sip:a@h;lr;maddr=239.255.255.1;ttl=15",
    "sip:a@h;ob;+sip.instance=x%3Cy",
)

EQUIVALENT = (  # RFC 3261 §19.1.4, then ours
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:a@h?Subject=x", "sip:a@h?subject=x"),
    ("SIP:a@h", "sip:a@h"),
    ("sip:a%3bb@h", "sip:a%3Bb@h"),
    ("sip:a%C3%A9@h", "sip:a%c3%a9@h"),
    ("sip:a@h;x=%41", "sip:a@h;X=a"),
    ("sip:a@h;%6Cr", "sip:a@h;lr"),
    ("sip:a@h;user=phone", "sip:a@h;user=PHONE"),
)

DIFFERENT = (  # RFC 3261 §19.1.4, then ours
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:a@h", "sips:a@h"),
    ("sip:a@h", "sip:h"),
    ("sip:a@h", "sip:a:@h"),
    ("sip:a:x@h", "sip:a:X@h"),
    ("sip:a@h", "sip:a@h;user=phone"),
    ("sip:a@h", "sip:a@h;ttl=1"),
    ("sip:a@h", "sip:a@h;method=INVITE"),
    ("sip:a@h", "sip:a@h;maddr=h"),
    ("sip:a%3Bb@h", "sip:a;b@h"),  # a reserved character is not its escape
    ("sip:a%253B@h", "sip:a%3B@h"),
    ("sip:%FF@h", "sip:%FE@h"),  # neither is UTF-8
    ("sip:a@h?subject=x", "sip:a@h?subject=X"),
)

BROKEN = (
    "",
    "sip",
    "sip:",
    "sip:@h",
    "sip:a@",
    "sip:a@h:",
    "sip:a@h:65536",
    "sip:a@h:123456",
    "sip:a b@h",
    "sip:a@h ",
    " sip:a@h",
    "sip:a@h;",
    "sip:a@h;=x",
    "sip:a@h;x=",
    "sip:a@h?x",
    "sip:a@h?=x",
    "sip:a@h?x=1&",
    "sip:a%4@h",
    "sip:a%zz@h",
    "sip:é@h",
    "sip:a@-h",
    "sip:a@[::1",
    "sip:a@[::g]",
    "sip:a@h\r\n",
    "sip:a@h\n",
    "sip:a@b@h",
    "sips:<a@h>",
    "1tel:5",
    "tel:",
    "tel:1 2",
)


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    uri = SipUri.parse(text)
    assert str(uri) == text
    assert SipUri.parse(str(uri)) == uri
    assert uri.matches(uri)


def test_the_parts_of_a_uri() -> None:
    uri = SipUri.parse("SIPS:alice;day=tuesday:se%63ret@[2001:DB8::1]:5061;Transport=TCP;lr?Subject=a%20b&x=")
    assert (uri.scheme, uri.user, uri.password) == ("sips", "alice;day=tuesday", "se%63ret")
    assert (uri.host, uri.ip_host, uri.port) == ("[2001:DB8::1]", "2001:DB8::1", 5061)
    assert uri.parameters == (("transport", "TCP"), ("lr", None))
    assert uri.headers == (("Subject", "a%20b"), ("x", ""))
    assert (uri.parameter("lr"), uri.parameter("transport"), uri.parameter("ob")) == ("", "TCP", None)


def test_parameters_are_set_once_and_taken_away() -> None:
    uri = SipUri.parse("sip:a@h;x=1;y")
    assert str(uri.with_parameter("x", "2")) == "sip:a@h;y;x=2"
    assert str(uri.with_parameter("lr")) == "sip:a@h;x=1;y;lr"
    assert str(uri.without_parameter("x").without_parameter("z")) == "sip:a@h;y"


@pytest.mark.parametrize(("one", "other"), EQUIVALENT)
def test_equivalent_uris_match_both_ways(one: str, other: str) -> None:
    assert SipUri.parse(one).matches(SipUri.parse(other))
    assert SipUri.parse(other).matches(SipUri.parse(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_uris_match_neither_way(one: str, other: str) -> None:
    assert not SipUri.parse(one).matches(SipUri.parse(other))
    assert not SipUri.parse(other).matches(SipUri.parse(one))


@pytest.mark.parametrize(
    "text",
    ["tel:\udcff12", "tel:\N{FULLWIDTH DIGIT ONE}2", "http://j\u00fcrgen.example", "sip:a@\N{KELVIN SIGN}.example"],
)
def test_a_uri_is_ascii(text: str) -> None:
    """Else what came as bytes that are no UTF-8 would be written where nothing but text can be."""
    with pytest.raises(SipSyntaxError) as caught:
        parse_uri(text)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_uri(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sip:Alice@Home.Example", "alice@home.example"),
        ("sip:%61lice:pw@home.example:5060;transport=tcp?x=y", "alice@home.example"),
        ("sip:j%C3%BCrgen@h", "jürgen@h"),
        ("sip:%FF@h", "\ufffd@h"),
        ("sip:home.example", "home.example"),
    ],
)
def test_the_address_of_a_person(text: str, address: str) -> None:
    assert SipUri.parse(text).address == address


@pytest.mark.parametrize("user", ["alice", "a b", "jürgen", "a@b", "a:b", "50%", "", '<">', "\0\r\n", "a;b?c/d"])
def test_any_user_part_can_be_escaped(user: str) -> None:
    assert unescape(escape_user(user)) == user
    uri = SipUri.of_address(f"{user}@home.example", port=5070)
    assert SipUri.parse(str(uri)) == uri
    assert unescape(uri.user or "") == user


@pytest.mark.parametrize(
    "text",
    ["tel:+1-201-555-0123", "tel:7042;phone-context=example.com", "http://www.example.com/?a=b", "urn:service:sos"],
)
def test_other_schemes_are_kept_as_written_but_are_no_sip_uri(text: str) -> None:
    other = parse_uri(text)
    assert isinstance(other, OtherUri)
    assert str(other) == text
    assert not SipUri.parse("sip:a@h").matches(other)
    with pytest.raises(SipSyntaxError) as caught:
        SipUri.parse(text)
    assert caught.value.status == 416


def test_the_scheme_of_a_telephone_number_is_in_lower_case() -> None:
    assert parse_uri("TEL:+12015550123") == OtherUri("tel", "+12015550123")


def test_a_uri_may_be_so_long_and_no_longer() -> None:
    longest = "sip:" + "a" * (URI_CHARACTERS_MAX - len("sip:@h")) + "@h"
    assert str(parse_uri(longest)) == longest
    with pytest.raises(SipSyntaxError) as caught:
        parse_uri(longest + "h")
    assert caught.value.status == 414


@pytest.mark.parametrize(("first", "glue"), [(";", ";"), ("?", "&")])
def test_a_uri_may_have_so_many_parameters_and_no_more(first: str, glue: str) -> None:
    parts = [f"p{n}=1" for n in range(PARAMETERS_MAX + 1)]
    assert isinstance(parse_uri("sip:h" + first + glue.join(parts[1:])), SipUri)
    with pytest.raises(SipSyntaxError):
        parse_uri("sip:h" + first + glue.join(parts))
