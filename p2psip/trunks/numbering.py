"""Numbers as providers write them: reading one as E.164, and writing E.164 the way that a provider wants it (RFC 3966 §5.1)."""

import re

from p2psip.trunks.trunk import NumberStyle

DIGITS_MAX = 15

_SEPARATORS = re.compile(r"[\s().\-]")
_E164 = re.compile(rf"\+[1-9][0-9]{{1,{DIGITS_MAX - 1}}}")


def is_number(text: str) -> bool:
    """Whether a user part is a telephone number: digits with an optional plus sign, visual separators aside."""
    bare = _SEPARATORS.sub("", text)
    return bare.removeprefix("+").isdigit() and bare.isascii() and len(bare) <= DIGITS_MAX + 3


def readings(text: str, country: str) -> tuple[str, ...]:
    """What E.164 numbers `text` may mean, likeliest first; `country` (digits) completes a national number."""
    bare = _SEPARATORS.sub("", text.partition(";")[0])
    if not bare or not bare.isascii():
        return ()
    found = []
    if bare.startswith("+"):
        found.append(bare)
    elif bare.startswith("00"):
        found.append("+" + bare[2:])
    elif bare.startswith("0") and country:
        found.append(f"+{country}{bare[1:]}")
    else:
        found.append("+" + bare)
        if country:
            found.append(f"+{country}{bare}")
    return tuple(each for each in found if _E164.fullmatch(each))


def written(number: str, style: NumberStyle, country: str) -> str:
    """`number` as the provider wants it; what is no E.164 number, such as an emergency number, stays as it is."""
    if not _E164.fullmatch(number):
        return number
    digits = number[1:]
    if style == "e164":
        return digits
    if style == "00e164":
        return "00" + digits
    if style == "national":
        rest = digits.removeprefix(country) if country else digits
        # "0" before another "0" would read as a number abroad.
        return "0" + rest if rest != digits and rest[:1] not in ("", "0") else "00" + digits
    return number
