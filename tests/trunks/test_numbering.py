"""Numbers as providers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.trunks.numbering import DIGITS_MAX, is_number, readings, written


@pytest.mark.parametrize(
    ("text", "country", "first"),
    [
        ("+4930123", "49", "+4930123"),
        ("004930123", "49", "+4930123"),
        ("030123", "49", "+4930123"),
        ("4930123", "49", "+4930123"),
        ("+49 (30) 123-45", "", "+493012345"),
        ("30123", "", "+30123"),
        ("4930123;phone-context=x", "49", "+4930123"),
    ],
)
def test_what_a_number_means(text: str, country: str, first: str) -> None:
    assert readings(text, country)[0] == first


@pytest.mark.parametrize("text", ["", "alice", "+0123", "+", "٤٩٣٠", "+1" + "2" * DIGITS_MAX])
def test_what_is_no_number_means_nothing(text: str) -> None:
    assert readings(text, "49") == ()


@pytest.mark.parametrize(
    ("style", "wanted"),
    [
        ("+e164", "+4930123"),
        ("e164", "4930123"),
        ("00e164", "004930123"),
        ("national", "030123"),
    ],
)
def test_a_number_is_written_as_the_provider_wants_it(style: str, wanted: str) -> None:
    assert written("+4930123", style, "49") == wanted  # type: ignore[arg-type]


def test_a_foreign_number_in_the_national_style_keeps_its_country() -> None:
    assert written("+4312345", "national", "49") == "004312345"


def test_the_national_style_never_makes_a_foreign_number_of_a_national_one() -> None:
    assert written("+490449012345678", "national", "49") == "00490449012345678"
    assert written("+390612345678", "national", "39") == "00390612345678"


def test_an_emergency_number_stays_as_it_is() -> None:
    assert written("112", "00e164", "49") == "112"


@pytest.mark.parametrize(
    ("text", "is_one"), [("+49 30", True), ("0049", True), ("bob", False), ("", False), ("+", False)]
)
def test_what_is_a_number(text: str, is_one: bool) -> None:
    assert is_number(text) is is_one


@given(st.text(max_size=30), st.sampled_from(["", "49", "1"]))
def test_any_text_gives_numbers_or_none(text: str, country: str) -> None:
    for number in readings(text, country):
        assert is_number(number)
        assert readings(written(number, "national", country), country)[0] == number or not country
