"""`[calls]`: what may be redirected where."""

import pytest
from pydantic import ValidationError

from p2psip.app.settings import Settings
from p2psip.app.settings_calls import PATTERN_CHARACTERS_MAX, PATTERNS_MAX, CallsSettings


def test_nothing_is_redirected_unless_said_so() -> None:
    assert Settings().calls.redirects == ()


def test_patterns_are_taken_without_a_scheme_and_in_lower_case() -> None:
    settings = CallsSettings(redirects=("sip:Carol@Home.example", "+49*"))
    assert settings.redirects == ("carol@home.example", "+49*")


@pytest.mark.parametrize("pattern", ["", "two words", "x" * (PATTERN_CHARACTERS_MAX + 1)])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValidationError, match="is no address, name or number"):
        CallsSettings(redirects=(pattern,))


def test_patterns_are_bounded() -> None:
    assert len(CallsSettings(redirects=("a",) * PATTERNS_MAX).redirects) == PATTERNS_MAX
    with pytest.raises(ValidationError):
        CallsSettings(redirects=("a",) * (PATTERNS_MAX + 1))
