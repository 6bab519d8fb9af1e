"""What may be a name, and what may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.names import (
    NAME_CHARACTERS_MAX,
    NUMBER_LEAST,
    NUMBER_MOST,
    OVERLAY_CHARACTERS_MAX,
    check_name,
    check_number,
    check_overlay_name,
)
from p2psip.base.errors import RemoteError


@pytest.mark.parametrize("name", ["a", "alice", "alice.b", "a1", "a-b_c", "a" * NAME_CHARACTERS_MAX])
def test_good_names(name: str) -> None:
    assert check_name(name.upper()) == name


@pytest.mark.parametrize(
    "name",
    ["", "1001", "1a", ".a", "a.", "a b", "a@b", "ä", "a\n", "a" * (NAME_CHARACTERS_MAX + 1), "\u212a", "a;x", "a%41"],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(RemoteError, match="choose a name"):
        check_name(name)


@pytest.mark.parametrize("name", ["home.example", "Home", "a-b.c", "x" * OVERLAY_CHARACTERS_MAX])
def test_good_overlays(name: str) -> None:
    assert check_overlay_name(name) == name.lower()


@pytest.mark.parametrize(
    "name", ["", ".", "a.", "-a", "a-", "a..b", "192.0.2.1", "a.1", "7", "a_b", "x" * (OVERLAY_CHARACTERS_MAX + 1)]
)
def test_bad_overlays(name: str) -> None:
    with pytest.raises(RemoteError, match="an overlay needs a name"):
        check_overlay_name(name)


def test_numbers() -> None:
    assert check_number(NUMBER_LEAST) == NUMBER_LEAST
    assert check_number(NUMBER_MOST) == NUMBER_MOST
    for number in (-1, 112, 911, NUMBER_LEAST - 1, NUMBER_MOST + 1):
        with pytest.raises(RemoteError, match="choose a number"):
            check_number(number)


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    for check in (check_name, check_overlay_name):
        try:
            name = check(text)
        except RemoteError:
            continue
        assert name.isascii()
        assert check(name) == name
