"""Header fields: the ordered table, and the typed values."""

import pytest

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import LIST_ITEMS_MAX, PARAMETERS_MAX, parse_parameters, quote, split_list, unquote
from p2psip.sip.headers import (
    COMPACT_FORMS,
    CSEQ_MAX,
    CSeq,
    Headers,
    NameAddr,
    Via,
    canonical_name,
    parse_name_addrs,
    parse_vias,
)
from p2psip.sip.uri import OtherUri

RUN = 30_000  # characters of one kind in a row, which a careless expression would take minutes over


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("call-id", "Call-ID"),
        ("CSEQ", "CSeq"),
        ("www-authenticate", "WWW-Authenticate"),
        ("content-LENGTH", "Content-Length"),
        ("Via  ", "Via"),
        ("x-odd_%name", "X-Odd_%name"),
        *((compact.upper(), full) for compact, full in COMPACT_FORMS.items()),
    ],
)
def test_names_have_one_spelling(written: str, usual: str) -> None:
    assert canonical_name(written) == usual


@pytest.mark.parametrize("name", ["", " Via", "Vi a", "Via\n", "Viaé", "a:b", '"q"'])
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(SipSyntaxError):
        canonical_name(name)


def test_the_table_keeps_order_and_knows_names_in_any_spelling() -> None:
    headers = Headers([("v", "1"), ("Subject", "x"), ("VIA", "2")])
    assert headers.all("via") == ["1", "2"]
    assert headers.get("V") == "1"
    assert headers.get("To") is None
    assert "s" in headers
    assert "To" not in headers
    headers.insert_first("via", "0")
    headers.add("to", "t")
    assert headers.items() == [("Via", "0"), ("Via", "1"), ("Subject", "x"), ("Via", "2"), ("To", "t")]
    headers.set("via", "9")
    assert list(headers) == [("Via", "9"), ("Subject", "x"), ("To", "t")]
    headers.set("Expires", "1")
    headers.remove("VIA")
    assert headers == Headers([("Subject", "x"), ("To", "t"), ("Expires", "1")])


def test_a_copy_is_independent() -> None:
    headers = Headers([("To", "1")])
    copy = headers.copy()
    copy.add("To", "2")
    assert (headers.all("To"), copy.all("To")) == (["1"], ["1", "2"])


def test_typed_values_are_parsed_once_and_again_after_a_change() -> None:
    headers = Headers([("To", "1")])
    calls: list[list[str]] = []

    def parse(values: list[str]) -> int:
        calls.append(list(values))
        return len(values)

    assert [headers.typed("To", parse), headers.typed("To", parse)] == [1, 1]
    headers.add("To", "2")
    assert headers.typed("To", parse) == 2
    assert calls == [["1"], ["1", "2"]]


@pytest.mark.parametrize(
    ("text", "display", "uri", "parameters"),
    [
        ("sip:a@h", None, "sip:a@h", ()),
        ("sip:a@h;tag=1", None, "sip:a@h", (("tag", "1"),)),
        ("<sip:a@h;lr>;Tag=1", None, "sip:a@h;lr", (("tag", "1"),)),
        ('"A, \\"B\\" <x>" <sip:a@h>', 'A, "B" <x>', "sip:a@h", ()),
        ('""<sip:a@h>', "", "sip:a@h", ()),
        ("A  B\tC <sip:a@h>", "A B C", "sip:a@h", ()),
        ("A<sip:a@h> ; x ; y = z", "A", "sip:a@h", (("x", None), ("y", "z"))),
        ('<tel:+1>;q=0.5;z="a;b,c"', None, "tel:+1", (("q", "0.5"), ("z", '"a;b,c"'))),
        ("<sip:a@h?x=y>;received=[2001:db8::1]", None, "sip:a@h?x=y", (("received", "[2001:db8::1]"),)),
    ],
)
def test_addresses(text: str, display: str | None, uri: str, parameters: tuple[tuple[str, str | None], ...]) -> None:
    found = NameAddr.parse(text)
    assert (found.display, str(found.uri), found.parameters) == (display, uri, parameters)
    assert NameAddr.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        "<sip:a@h",
        "sip:a@h>",
        '"A <sip:a@h>',
        "A, B <sip:a@h>",
        "é <sip:a@h>",
        "< sip:a@h >",
        "sip:a@h?x=y",
        "<sip:a@h>;",
        "<sip:a@h>;;x",
        "<sip:a@h> x",
        "<sip:a@h>;x=",
        "<sip:a@h>;x=é y",
        "<sip:a@h><sip:b@h>",
        "*",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        NameAddr.parse(text)


def test_a_tag_is_set_once_and_an_empty_one_is_none() -> None:
    address = NameAddr.parse("<sip:a@h>;x=1")
    assert address.tag is None
    assert str(address.with_tag("1").with_tag("2")) == "<sip:a@h>;x=1;tag=2"
    assert NameAddr.parse("<sip:a@h>;tag").tag is None


def test_only_sip_addresses_have_a_sip_uri() -> None:
    address = NameAddr.parse("<tel:+1>")
    assert isinstance(address.uri, OtherUri)
    with pytest.raises(SipSyntaxError) as caught:
        address.sip_uri()
    assert caught.value.status == 416


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("SIP/2.0/UDP h", "SIP/2.0/UDP h"),
        ("sip / 2.0 / tcp  h : 5061 ; Branch = z ; rport", "SIP/2.0/TCP h:5061;branch=z;rport"),
        ("SIP/2.0/TLS [2001:db8::1]:5061;received=2001:db8::9", "SIP/2.0/TLS [2001:db8::1]:5061;received=2001:db8::9"),
        ("SIP/2.0/TLS-SCTP a.b.;x", "SIP/2.0/TLS-SCTP a.b.;x"),
        ("SIP/7.0/UDP h", "SIP/7.0/UDP h"),
    ],
)
def test_vias(text: str, written: str) -> None:
    assert str(Via.parse(text)) == written
    assert Via.parse(written) == Via.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 h",
        "HTTP/2.0/UDP h",
        "SIP/2/UDP h",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h i",
        "SIP/2.0/UDP <h>",
        "SIP/2.0/UDP h, SIP/2.0/UDP i",
    ],
)
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        Via.parse(text)


def test_a_via_parameter_is_set_once_at_the_end() -> None:
    via = Via.parse("SIP/2.0/UDP h;rport;branch=z")
    assert (via.branch, via.parameter("rport"), via.parameter("received")) == ("z", "", None)
    assert str(via.with_parameter("rport", "5")) == "SIP/2.0/UDP h;branch=z;rport=5"


@pytest.mark.parametrize(
    ("text", "number", "method"),
    [("1 INVITE", 1, "INVITE"), (" 0009 \t x-y ", 9, "x-y"), (f"{CSEQ_MAX} ACK", CSEQ_MAX, "ACK")],
)
def test_cseqs(text: str, number: int, method: str) -> None:
    assert CSeq.parse(text) == CSeq(number, method)
    assert CSeq.parse(str(CSeq.parse(text))) == CSeq(number, method)


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "-1 INVITE", "1 IN VITE", f"{CSEQ_MAX + 1} ACK", "١ ACK", "1INVITE"]
)
def test_what_is_no_cseq_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        CSeq.parse(text)


@pytest.mark.parametrize("text", ["", "a", 'a"b', "a\\b", '\\"', "\0"])
def test_quoting_can_be_undone(text: str) -> None:
    assert unquote(quote(text)) == text


def test_lists_split_at_commas_outside_of_quotes_and_brackets() -> None:
    assert split_list('"a,\\"b" <x,y>;z, c ,') == ['"a,\\"b" <x,y>;z', " c ", ""]
    assert [str(a) for a in parse_name_addrs(["<sip:a@h>, <sip:b@h>", "sip:c@h"])] == [
        "<sip:a@h>",
        "<sip:b@h>",
        "<sip:c@h>",
    ]
    assert [via.host for via in parse_vias(["SIP/2.0/UDP a,SIP/2.0/TCP b"])] == ["a", "b"]


@pytest.mark.parametrize("text", ['a,"b', "a,<b", "a,b>"])
def test_lists_with_unbalanced_quotes_or_brackets_are_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        split_list(text)


def test_a_list_may_have_so_many_items_and_no_more() -> None:
    assert len(split_list(",".join("a" * LIST_ITEMS_MAX))) == LIST_ITEMS_MAX
    with pytest.raises(SipSyntaxError):
        split_list(",".join("a" * (LIST_ITEMS_MAX + 1)))
    with pytest.raises(SipSyntaxError):
        split_list("a," * LIST_ITEMS_MAX)


@pytest.mark.parametrize("odd", ["", ' ;x="y"'])
def test_there_may_be_so_many_parameters_and_no_more(odd: str) -> None:
    room = PARAMETERS_MAX - (1 if odd else 0)
    assert len(parse_parameters(";p=1" * room + odd)) == PARAMETERS_MAX
    with pytest.raises(SipSyntaxError):
        parse_parameters(";p=1" * (room + 1) + odd)


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * RUN + "b",
        "\x0b" * RUN + "b",
        "a " * RUN + ";",
        '"' + '\\"' * RUN + "<sip:a@h>",
        "<sip:a@h>;a" + " " * RUN + "<",
        '<sip:a@h>;a="' + "\\a" * RUN,
        "<" * RUN,
        '"x' * RUN,
    ],
)
def test_long_runs_are_refused_in_linear_time(text: str) -> None:
    for parse in (NameAddr.parse, Via.parse, CSeq.parse, lambda value: parse_name_addrs(["," + value])):
        with pytest.raises(SipSyntaxError):
            parse(text)


@pytest.mark.parametrize("text", ["SIP" + " " * RUN, "SIP/2.0/UDP" + " " * RUN + "@", "1" + " " * RUN + "@", "9" * RUN])
def test_long_runs_in_via_and_cseq_are_refused_in_linear_time(text: str) -> None:
    for parse in (Via.parse, CSeq.parse):
        with pytest.raises(SipSyntaxError):
            parse(text)
