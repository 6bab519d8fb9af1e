"""Rules: their order, their services, and rewriting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.naming.naptr import (
    RECORDS_MAX,
    RESULT_CHARACTERS_MAX,
    SERVICES_MAX,
    RuleError,
    enumservices,
    read_substitution,
    sorted_naptrs,
)
from p2psip.naming.questions import Naptr


@pytest.mark.parametrize(
    ("regexp", "result"),
    [
        ("!^.*$!sip:info@example.com!", "sip:info@example.com"),
        (r"!^\+49(.*)$!sip:\1@example.com!", "sip:301234@example.com"),
        (r"/^\+(..)(.*)$/sip:\2-\1@example.com/i", "sip:301234-49@example.com"),
        (r"!^.*$!sip:a\!b\\c@example.com!", "sip:a!b\\c@example.com"),
        (r"#^\+49(30)?(x)?.*$#sip:<\1\2>@example.com#", "sip:<30>@example.com"),
        (r"!30!sip:x@example.com!", "sip:x@example.com"),
        (r"|^.*$|tel:+491|", "tel:+491"),
    ],
)
def test_rewriting(regexp: str, result: str) -> None:
    assert read_substitution(regexp).apply("+49301234") == result


@pytest.mark.parametrize(
    "regexp",
    [
        "",
        "!",
        "!!",
        "1^.*$1sip:a@b1",
        "i^.*$isip:a@bi",
        "\\^.*$\\sip:a@b\\",
        "!^.*$!sip:a@b",
        "!^.*$!sip:a@b!x",
        "!^.*$!sip:a@b!i!",
        r"!^(.*)$!sip:\2@b!",
        r"!^.*$!sip:\0@b!",
        r"!^.*$!sip:\x@b!",
        "!^(.*$!sip:a@b!",
    ],
)
def test_rules_that_cannot_be_read(regexp: str) -> None:
    with pytest.raises(RemoteError):
        read_substitution(regexp)


def test_a_rule_that_does_not_match_or_grows_too_long() -> None:
    with pytest.raises(RuleError, match="does not match"):
        read_substitution("!^.47!sip:a@b!").apply("+4930")
    long = r"!^(.*)$!" + r"\1" * 60 + "!"
    assert len(read_substitution(long).apply("12345678")) == 480
    with pytest.raises(RuleError, match=str(RESULT_CHARACTERS_MAX)):
        read_substitution(long).apply("123456789")


def test_order_before_preference_and_no_more_than_the_bound() -> None:
    records = [Naptr(order, preference, "u", "", "", "") for order in (2, 1) for preference in (20, 10)]
    assert [(each.order, each.preference) for each in sorted_naptrs(records)] == [(1, 10), (1, 20), (2, 10), (2, 20)]
    assert len(sorted_naptrs(records[:1] * (RECORDS_MAX + 1))) == RECORDS_MAX


def test_enumservices() -> None:
    assert enumservices("E2U+sip") == ("sip",)
    assert enumservices("e2u+PSTN:tel+pstn:SIP") == ("pstn:tel", "pstn:sip")
    assert enumservices("sip+E2U") == ()
    assert enumservices("E2U") == ()
    assert enumservices("E2U" + "+sip" * SERVICES_MAX) == ("sip",) * SERVICES_MAX
    assert enumservices("E2U" + "+sip" * (SERVICES_MAX + 1)) == ()


@given(st.text(max_size=60), st.text("+0123456789", max_size=16))
def test_any_regexp_field_is_a_rule_or_an_error(regexp: str, number: str) -> None:
    try:
        assert len(read_substitution(regexp).apply(number)) <= RESULT_CHARACTERS_MAX
    except RemoteError:
        return


@given(st.integers(0, 60), st.sampled_from("!\\^()1i"), st.text("+0123456789", max_size=16))
def test_changed_rules_too(place: int, letter: str, number: str) -> None:
    valid = r"!^\+(4[0-9])([[:digit:]]{2,11})$!sip:\2@\1.example!i"
    test_any_regexp_field_is_a_rule_or_an_error.hypothesis.inner_test(  # type: ignore[attr-defined]
        valid[:place] + letter + valid[place + 1 :], number
    )
