"""Numbers as people write them, and what is left as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.naming.typed import as_typed


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("+44 20 7946 0018", "+442079460018"),
        (" +44-20-7946-0018\n", "+442079460018"),
        ("+44.20.7946.0018", "+442079460018"),
        ("+1 (212) 555-0100", "+12125550100"),
        ("030/1234 56", "030123456"),
        ("+44\N{NO-BREAK SPACE}20\N{EN DASH}7946\N{NON-BREAKING HYPHEN}0018", "+442079460018"),
        ("\N{LEFT-TO-RIGHT EMBEDDING}+44 20 7946 0018\N{POP DIRECTIONAL FORMATTING}", "+442079460018"),
        ("*74 7#", "*747#"),
        ("(020) 7946 0018", "02079460018"),
        ("tel:+44 20 7946-0018;phone-context=example.com", "tel:+442079460018;phone-context=example.com"),
        ("TEL:1001", "TEL:1001"),
        ("sip:+44 20 7946 0018", "sip:+442079460018"),
        ("sip:+44 20 7946 0018@home.example", "sip:+442079460018@home.example"),
        ("10 01@home.example", "1001@home.example"),
        ("1001", "1001"),
    ],
)
def test_numbers(typed: str, plain: str) -> None:
    assert as_typed(typed) == plain


@pytest.mark.parametrize(
    "text",
    [
        "bob",
        "mary-jane",
        "j.r.hartley",
        "bob@elsewhere.example",
        "12-34@elsewhere.example",  # somebody's name there, for all we know
        "sip:bob",
        "sip:+44-20@elsewhere.example;user=phone",
        "sips:bob@home.example",
        "urn:service:sos",
        "tel:nobody",
        "bob smith",
        "+44 20 seven",
        "+",
        "",
        "1" * 65,
    ],
)
def test_what_is_no_number_stays(text: str) -> None:
    assert as_typed(text) == text


@pytest.mark.parametrize("text", ["+44 (0)20 7946 0018", "tel:+44(0)20 7946 0018", "+49 ( 0 ) 30 123"])
def test_a_zero_in_brackets_is_asked_about(text: str) -> None:
    with pytest.raises(RemoteError, match=r"leave out the \(0\)"):
        as_typed(text)


@given(st.text(max_size=80))
def test_any_text_is_taken_or_refused_in_words_and_stays_so(text: str) -> None:
    try:
        once = as_typed(text)
    except RemoteError:
        return
    assert as_typed(once) == once
