"""`[calls]`: where phones of this node may redirect their calls to, and what they hear when a call for help fails."""

from typing import Annotated

from pydantic import AfterValidator, Field

from p2psip.app.settings_section import Section

PATTERNS_MAX = 100
PATTERN_CHARACTERS_MAX = 128
PATH_CHARACTERS_MAX = 4_096


def _pattern(text: str) -> str:
    pattern = text.removeprefix("sip:").lower()
    if not pattern or len(pattern) > PATTERN_CHARACTERS_MAX or any(letter.isspace() for letter in pattern):
        raise ValueError(f"{text!r} is no address, name or number with * and ? for what may differ, such as '+49*'")
    return pattern


class CallsSettings(Section):
    """`[calls]`: `redirects` are patterns of addresses (`*@home.example`), names or numbers (`+49*`) that a phone may forward
    its calls to by 302. Nothing is forwarded unless it matches one. `announcement` names a WAV file (16-bit mono at 8 kHz) with
    the words for who dials an emergency number in vain; "" stands for those that come with this program, "off" for none.
    """

    redirects: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], Field(max_length=PATTERNS_MAX)] = ()
    announcement: Annotated[str, Field(max_length=PATH_CHARACTERS_MAX)] = ""
