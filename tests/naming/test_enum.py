"""ENUM: rules in order, other services, names that lead on, loops, and failures."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from p2psip.naming.enum import NON_TERMINAL_MAX, QUESTIONS_MAX, RESULTS_MAX, Enumeration, enum_name, enumerate_number
from p2psip.naming.questions import Answer, Naptr, Question, run_inquiry
from tests.naming.zone import Zone

NUMBER, ROOT = "+493012345", "e164.arpa"
NAME = "5.4.3.2.1.0.3.9.4.e164.arpa"
ALL = "!^.*$!{}!"


def look_up(zone: Zone) -> Enumeration:
    return run_inquiry(enumerate_number(NUMBER, ROOT), zone.ask)


def uris(zone: Zone) -> list[str]:
    return [found.uri for found in look_up(zone).found]


def test_the_name_of_a_number() -> None:
    assert enum_name(NUMBER, ROOT) == NAME


def test_by_order_then_preference_with_sip_and_tel() -> None:
    zone = Zone()
    zone.naptr(
        NAME,
        (100, 20, "u", "E2U+pstn:tel", ALL.format("tel:+493012345;npdi"), ""),
        (100, 10, "U", "E2U+sip", r"!^\+49(.*)$!sip:\1@example.com!", ""),
        (100, 5, "u", "E2U+email:mailto", ALL.format("mailto:a@b"), ""),
        (200, 1, "u", "E2U+sip", ALL.format("sip:later@example.com"), ""),
    )
    found = look_up(zone)
    assert [(each.uri, each.service) for each in found.found] == [
        ("sip:3012345@example.com", "sip"),
        ("tel:+493012345;npdi", "pstn:tel"),
    ]
    assert any("order 200" in line for line in found.trail)
    assert any("E2U+email:mailto" in line for line in found.trail)


def test_a_higher_order_counts_when_the_lower_leads_nowhere() -> None:
    zone = Zone()
    zone.naptr(
        NAME,
        (1, 1, "u", "E2U+sip", "!^.47!sip:norway@example.com!", ""),
        (2, 1, "u", "E2U+sip", ALL.format("sip:here@example.com"), ""),
    )
    assert uris(zone) == ["sip:here@example.com"]


def test_what_is_no_rule_for_us_is_passed_over_with_its_reason() -> None:
    zone = Zone()
    zone.naptr(
        NAME,
        (1, 1, "u", "E2U+sip", ALL.format("http://example.com"), ""),
        (1, 2, "u", "E2U+sip", ALL.format("sip:a b@example.com"), ""),
        (1, 3, "u", "E2U+sip", "!(!sip:a@b!", ""),
        (1, 4, "s", "SIP+D2U", "", "_sip._udp.example.com"),
        (1, 5, "u", "E2U+sip", ALL.format("sip:a@example.com"), "both.example.com"),
    )
    found = look_up(zone)
    assert (found.outcome, found.found, len(found.trail)) == ("no data", (), 6)


def test_names_lead_on_by_replacement_and_by_expression() -> None:
    zone = Zone()
    zone.naptr(NAME, (1, 1, "", "", "", "carrier.example"), (1, 2, "", "E2U", r"!^\+(..).*$!\1.example!", ""))
    zone.naptr("carrier.example", (1, 1, "u", "E2U+sip", "!^.47!sip:norway@example.com!", ""))
    zone.naptr("49.example", (1, 1, "u", "E2U+sip", ALL.format("sip:here@example.com"), ""))
    assert uris(zone) == ["sip:here@example.com"]
    assert [question.name for question in zone.asked] == [NAME, "carrier.example", "49.example"]


def test_a_loop_is_seen_and_a_chain_has_an_end() -> None:
    zone = Zone()
    zone.naptr(NAME, (1, 1, "", "", "", "a.example"))
    zone.naptr("a.example", (1, 1, "", "", "", NAME.upper()))
    found = look_up(zone)
    assert found.found == ()
    assert "loop" in found.trail[-1]

    for length, reached in ((NON_TERMINAL_MAX, True), (NON_TERMINAL_MAX + 1, False)):
        zone = Zone()
        names = [NAME, *(f"n{number}.example" for number in range(length))]
        for here, there in itertools.pairwise(names):
            zone.naptr(here, (1, 1, "", "", "", there))
        zone.naptr(names[-1], (1, 1, "u", "E2U+sip", ALL.format("sip:end@example.com"), ""))
        assert bool(uris(zone)) is reached


def test_questions_and_results_are_bounded() -> None:
    zone = Zone()
    zone.naptr(NAME, *((1, number, "", "", "", f"n{number}.example") for number in range(QUESTIONS_MAX + 1)))
    look_up(zone)
    assert len(zone.asked) == QUESTIONS_MAX
    zone.naptr(NAME, *((1, n, "u", "E2U+sip", ALL.format(f"sip:u{n}@example.com"), "") for n in range(RESULTS_MAX + 1)))
    assert len(uris(zone)) == RESULTS_MAX


def test_failures_are_not_taken_for_an_empty_tree() -> None:
    zone = Zone()
    assert look_up(zone).outcome == "no such name"
    zone.fail(NAME, "NAPTR", "bogus")
    assert look_up(zone).outcome == "bogus"
    zone.naptr(NAME, (1, 1, "", "", "", "a.example"))
    zone.fail("a.example", "NAPTR", "timeout")
    assert look_up(zone).outcome == "timeout"


rules = st.builds(
    Naptr,
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["u", "", "s", "U", "x"]),
    st.sampled_from(["E2U+sip", "", "E2U+tel", "junk"]),
    st.one_of(st.just(""), st.text(max_size=20), st.just(ALL.format("sip:a@b.example"))),
    st.sampled_from(["", "a.example", "b.example", NAME, "..", "x" * 300]),
)


@given(st.dictionaries(st.sampled_from([NAME, "a.example", "b.example"]), st.lists(rules, max_size=5)))
def test_whatever_the_dns_says_it_ends(zone: dict[str, list[Naptr]]) -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        return Answer("found", naptrs=tuple(zone.get(question.name, ())))

    found = run_inquiry(enumerate_number(NUMBER, ROOT), ask)
    assert len(asked) <= QUESTIONS_MAX
    assert (found.outcome == "found") == bool(found.found)
