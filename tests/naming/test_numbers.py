"""Numbers: what is one, whose it is, and tel URIs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.naming.countries import CODES, COUNTRIES
from p2psip.naming.numbers import (
    DIALLED_CHARACTERS_MAX,
    E164_DIGITS_MAX,
    TEL_URI_CHARACTERS_MAX,
    TelUri,
    dialled_text,
    is_e164,
    owner_of,
    read_tel,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("+49 (30) 1234-5.6", "+49301234" + "56"),
        ("*747#1", "*747#1"),
        ("alice", None),
        ("", None),
        ("+", None),
        ("*#", None),
        ("12+3", None),
        ("１２３", None),
        ("1" * (DIALLED_CHARACTERS_MAX + 1), None),
    ],
)
def test_what_was_dialled(text: str, plain: str | None) -> None:
    assert dialled_text(text) == plain


def test_global_numbers() -> None:
    assert is_e164("+" + "4" * E164_DIGITS_MAX)
    assert not is_e164("+" + "4" * (E164_DIGITS_MAX + 1))
    assert not is_e164("+0301234567")
    assert not is_e164("4930123456")


@pytest.mark.parametrize(
    ("number", "owner"),
    [
        ("+49301234", "DE"),
        ("+12025550123", "US"),
        ("+14165550123", "CA"),
        ("+18765550123", "JM"),
        ("+447624123456", "IM"),
        ("+442079460000", "GB"),
        ("+77012345678", "KZ"),
        ("+74951234567", "RU"),
        ("+8811234567", "satellite"),
        ("+9791234567", "international premium rate"),
        ("+999123456", None),
    ],
)
def test_whose_a_number_is(number: str, owner: str | None) -> None:
    assert owner_of(number) == owner


def test_the_table_of_countries_fits_the_codes() -> None:
    for iso, country in COUNTRIES.items():
        assert country.iso == iso
        assert CODES[country.code] == iso or (iso, CODES[country.code]) == ("CA", "US")
        assert all(each.isdigit() for each in (*country.emergency, *country.international_prefixes))
        assert all(prefix.isdigit() and 1 <= least <= most <= 15 for prefix, least, most in country.premium)
        assert len(set(country.premium)) == len(country.premium)


def test_tel_uris() -> None:
    assert read_tel("tel:+49-30-1234;npdi;rn=+49-30-99") == TelUri("+49301234", "+493099", True)
    assert read_tel("TEL:1234;phone-context=example.com") == TelUri("1234")
    for text in ("tel:", "tel:alice", "sip:1@b", "tel:+1;x" + "x" * TEL_URI_CHARACTERS_MAX):
        with pytest.raises(RemoteError):
            read_tel(text)


@given(st.one_of(st.text(max_size=40), st.text("+0123456789;=rnpdi-", max_size=40).map("tel:".__add__)))
def test_any_text_is_a_tel_uri_or_an_error(text: str) -> None:
    try:
        assert dialled_text(read_tel(text).number) is not None
    except RemoteError:
        return
