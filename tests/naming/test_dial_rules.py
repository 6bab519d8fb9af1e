"""Patterns and templates of rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.naming.dial_rules import (
    PATTERN_CHARACTERS_MAX,
    TEMPLATE_CHARACTERS_MAX,
    Pattern,
    PatternError,
    check_template,
    fill,
)


@pytest.mark.parametrize(
    ("pattern", "dialled", "number", "rest"),
    [
        ("*747.", "*747123", None, "123"),
        ("*747.", "*747", None, None),
        ("*747!", "*747", None, ""),
        ("+4930X", "0301", "+49301", "1"),
        ("+4930X", "0301", None, None),
        ("NXX", "212", None, "212"),
        ("NXX", "112", None, None),
        ("0Z.", "0123", None, "123"),
        ("[2-46]X", "31", None, "31"),
        ("[2-46]X", "51", None, None),
        ("1000", "1000", None, ""),
        ("#1", "#1", None, ""),
    ],
)
def test_patterns(pattern: str, dialled: str, number: str | None, rest: str | None) -> None:
    assert Pattern.parse(pattern).rest(dialled, number) == rest


@pytest.mark.parametrize("text", ["", "abc", ".1", "[", "[a]", "1 2", "!!", "1" * (PATTERN_CHARACTERS_MAX + 1)])
def test_patterns_that_are_none(text: str) -> None:
    with pytest.raises(PatternError):
        Pattern.parse(text)


def test_the_fixed_part_ends_at_the_first_wildcard() -> None:
    assert Pattern.parse("+4930[1-5]99.").fixed == "+4930"
    assert Pattern.parse("1" * PATTERN_CHARACTERS_MAX).fixed == "1" * PATTERN_CHARACTERS_MAX


def test_templates() -> None:
    values = {"dialled": "030", "number": "+4930", "rest": "0"}
    assert fill("{dialled}|{number}|{digits}|{rest}", **values) == "030|+4930|4930|0"
    assert fill("{number}", dialled="*1", number=None, rest="") == "*1"
    assert check_template("00{digits}") == "00{digits}"
    for text in ("{nothing}", "x" * (TEMPLATE_CHARACTERS_MAX + 1)):
        with pytest.raises(PatternError):
            check_template(text)


@given(st.text("+*#XNZ.![]-0123456789a", max_size=20), st.text("+*#0123456789", max_size=20))
def test_any_text_is_a_pattern_or_an_error(text: str, dialled: str) -> None:
    try:
        rest = Pattern.parse(text).rest(dialled, dialled)
    except PatternError:
        return
    assert rest is None or dialled.endswith(rest)
