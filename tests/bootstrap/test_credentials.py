"""Passwords and tokens are stored in a form that gives nothing away."""

import pytest

from bootstrap.credentials import (
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    check_password,
    hash_password,
    hash_token,
    new_token,
    password_matches,
)
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError


def test_a_password_matches_itself_in_any_unicode_form() -> None:
    chance = Chance.seeded(1)
    stored = hash_password("pa\u00dfw\u00f6rter", chance)
    assert "rter" not in stored
    assert password_matches("pa\u00dfwo\u0308rter", stored)
    assert not password_matches("pa\u00dfworter", stored)
    assert hash_password("pa\u00dfw\u00f6rter", chance) != stored


def test_an_account_without_a_password_never_matches() -> None:
    assert not password_matches("", None)


def test_lengths() -> None:
    assert check_password("x" * PASSWORD_CHARACTERS_MIN)
    assert check_password("x" * PASSWORD_CHARACTERS_MAX)
    for length in (PASSWORD_CHARACTERS_MIN - 1, PASSWORD_CHARACTERS_MAX + 1):
        with pytest.raises(RemoteError, match="choose a password"):
            check_password("x" * length)


def test_tokens_are_long_and_differ() -> None:
    chance = Chance.seeded(1)
    tokens = {new_token(chance) for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {26}
    assert len({hash_token(token) for token in tokens}) == 100
