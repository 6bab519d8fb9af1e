"""DNS messages: what each response means, and that no octets break the reader."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.naming.messages import (
    RECORDS_MAX,
    WORDS_CHARACTERS_MAX,
    Message,
    MessageError,
    answer_of,
    bogus,
    is_server_failure,
    is_without_edns,
    query,
    read_message,
)
from p2psip.naming.questions import Answer, Naptr, Outcome, Question, Srv

HEAD = "id 1\nopcode QUERY\nrcode {}\nflags {}\nedns 0\n;QUESTION\n{} IN {}\n"
SOA = "example.com. 600 IN SOA a. b. 1 2 3 4 300\n"


def response(
    question: Question, answer: str = "", authority: str = "", rcode: str = "NOERROR", flags: str = "QR RD RA"
) -> Message:
    head = HEAD.format(rcode, flags, question.name + ".", question.kind)
    text = f"{head};ANSWER\n{answer};AUTHORITY\n{authority};ADDITIONAL\n"
    return read_message(dns.message.from_text(text).to_wire())


ADDRESS = Question("example.com", "A")


def test_a_query_asks_for_recursion_and_to_be_told_of_validation() -> None:
    message = query(ADDRESS, 7)
    assert (message.id, message.edns, message.payload) == (7, 0, 1_232)
    assert message.flags & dns.flags.RD
    assert message.flags & dns.flags.AD
    assert not message.flags & dns.flags.CD
    assert query(ADDRESS, 7, checking_disabled=True).flags & dns.flags.CD
    assert query(ADDRESS, 7, extended=False).edns == -1


def test_records_become_values() -> None:
    rule = Question("4.9.example.com", "NAPTR")
    text = r'4.9.example.com. 60 IN NAPTR 10 20 "u" "E2U+sip" "!^\\+49(.*)$!sip:\\1@example.com!" .' + "\n"
    assert answer_of(rule, response(rule, text)).naptrs == (
        Naptr(10, 20, "u", "E2U+sip", r"!^\+49(.*)$!sip:\1@example.com!", ""),
    )
    server = Question("_sip._udp.example.com", "SRV")
    text = "_sip._udp.example.com. 60 IN SRV 1 2 5060 SIP.example.com.\n"
    found = answer_of(server, response(server, text, flags="QR RD RA AD"))
    assert (found.srvs, found.ttl_seconds, found.secure) == ((Srv(1, 2, 5060, "sip.example.com"),), 60.0, True)


def test_a_chain_of_names_is_followed_and_holds_for_its_shortest_link() -> None:
    text = "example.com. 30 IN CNAME b.example.com.\nb.example.com. 90 IN A 192.0.2.1\n"
    found = answer_of(ADDRESS, response(ADDRESS, text))
    assert (found.addresses, found.ttl_seconds) == (("192.0.2.1",), 30.0)


def test_negative_answers_hold_for_the_minimum_of_the_soa() -> None:
    assert answer_of(ADDRESS, response(ADDRESS, authority=SOA)) == Answer("no data", ttl_seconds=300.0)
    assert answer_of(ADDRESS, response(ADDRESS, authority=SOA, rcode="NXDOMAIN")).outcome == "no such name"
    assert answer_of(ADDRESS, response(ADDRESS)).ttl_seconds == 0.0  # RFC 2308 §5: without SOA it is not kept


@pytest.mark.parametrize(
    ("rcode", "flags", "codes", "outcome"),
    [
        ("SERVFAIL", "QR RA", [], "failed"),
        ("SERVFAIL", "QR RA", [6], "bogus"),
        ("SERVFAIL", "QR RA", [7], "bogus"),
        ("SERVFAIL", "QR RA", [22], "lame"),
        ("REFUSED", "QR", [], "refused"),
        ("NOTAUTH", "QR", [], "refused"),
        ("SERVFAIL", "QR", [15], "refused"),
        ("FORMERR", "QR", [], "failed"),
        ("NOERROR", "QR", [], "lame"),
        ("NXDOMAIN", "QR", [], "lame"),
        ("NOERROR", "QR AA", [], "no data"),
    ],
)
def test_failures_are_told_apart(rcode: str, flags: str, codes: list[int], outcome: Outcome) -> None:
    message = response(ADDRESS, rcode=rcode, flags=flags)
    message.use_edns(0, options=[dns.edns.EDEOption(code, "in its words") for code in codes])
    answer = answer_of(ADDRESS, read_message(message.to_wire()))
    assert answer.outcome == outcome
    assert not codes or "in its words" in answer.words
    assert is_server_failure(message) == (rcode == "SERVFAIL")


def test_the_words_of_a_server_are_cut_and_hold_nothing_that_a_terminal_obeys() -> None:
    message = response(ADDRESS, rcode="SERVFAIL")
    message.use_edns(0, options=[dns.edns.EDEOption(6, "\x1b[2J" + "x" * WORDS_CHARACTERS_MAX)])
    words = answer_of(ADDRESS, read_message(message.to_wire())).words
    assert "\x1b" not in words
    assert len(words) <= WORDS_CHARACTERS_MAX + len("SERVFAIL, ")
    assert bogus(Answer("failed", words=words)).outcome == "bogus"


def test_a_server_without_edns_is_known_by_its_error() -> None:
    message = response(ADDRESS, rcode="FORMERR")
    message.use_edns(False)
    assert is_without_edns(message)
    assert not is_without_edns(response(ADDRESS, rcode="FORMERR"))


def test_no_more_records_than_the_bound() -> None:
    text = "".join(f"example.com. 60 IN A 192.0.{number // 250}.{number % 250}\n" for number in range(RECORDS_MAX + 1))
    assert len(answer_of(ADDRESS, response(ADDRESS, text)).addresses) == RECORDS_MAX


def test_what_contradicts_itself_is_unreadable() -> None:
    text = "example.com. 30 IN A 192.0.2.1\n"
    assert answer_of(ADDRESS, response(ADDRESS, text, rcode="NXDOMAIN")).outcome == "unreadable"
    loop = "example.com. 30 IN CNAME b.example.com.\nb.example.com. 30 IN CNAME example.com.\n"
    assert answer_of(ADDRESS, response(ADDRESS, loop)).outcome == "unreadable"
    other = "other.example. 30 IN A 192.0.2.1\n"
    assert answer_of(ADDRESS, response(ADDRESS, other)).addresses == ()


@given(st.binary(max_size=100))
def test_any_octets_are_a_message_or_an_error(data: bytes) -> None:
    try:
        message = read_message(data)
    except MessageError:
        return
    assert isinstance(answer_of(ADDRESS, message), Answer)


VALID = response(
    Question("4.example.com", "NAPTR"),
    '4.example.com. 60 IN NAPTR 10 20 "u" "E2U+sip" "!^.*$!sip:a@example.com!" .\n',
    SOA,
).to_wire()


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(VALID)))
def test_changed_octets_too(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    try:
        message = read_message(bytes(data[: length or None]))
    except MessageError:
        return
    assert isinstance(answer_of(Question("4.example.com", "NAPTR"), message), Answer)
