"""Telephone numbers: what was dialled, its E.164 form, whose it is; and tel URIs (RFC 3966, RFC 4694)."""

import re
from dataclasses import dataclass

from p2psip.base.errors import RemoteError
from p2psip.naming.countries import CODES, E164_DIGITS_MAX, PREFIX_DIGITS_MAX

DIALLED_CHARACTERS_MAX = 64
E164_DIGITS_MIN = 7
TEL_URI_CHARACTERS_MAX = 512

_SEPARATORS = re.compile(r"[\s().\-/]")
_DIALLED = re.compile(r"\+?[0-9*#]+")
_E164 = re.compile(rf"\+[1-9][0-9]{{{E164_DIGITS_MIN - 1},{E164_DIGITS_MAX - 1}}}")


@dataclass(frozen=True, slots=True)
class TelUri:
    """A tel URI: the number without separators, the routing number of a ported one, whether it was looked up already.

    `routing_number` (rn) is "" where there is none; `is_looked_up` (npdi) says that a portability database was asked, so
    asking another makes no sense (RFC 4694).
    """

    number: str
    routing_number: str = ""
    is_looked_up: bool = False


def dialled_text(text: str) -> str | None:
    """What was dialled, without visual separators (RFC 3966 §3); None for what is no number: a name."""
    if len(text) > DIALLED_CHARACTERS_MAX:
        return None
    plain = _SEPARATORS.sub("", text)
    return plain if _DIALLED.fullmatch(plain) and any(letter.isdigit() for letter in plain) else None


def is_e164(number: str) -> bool:
    """Whether `number` has the form of a global number, with its plus sign."""
    return _E164.fullmatch(number) is not None


def code_of(number: str) -> str | None:
    """The longest prefix of an E.164 number that says whose it is, without the plus sign; None for what nobody has."""
    digits = number.removeprefix("+")
    lengths = range(min(PREFIX_DIGITS_MAX, len(digits)), 0, -1)
    return next((digits[:length] for length in lengths if digits[:length] in CODES), None)


def owner_of(number: str) -> str | None:
    """Whose an E.164 number is: an ISO 3166 code, or words for a code that is shared; None for what nobody has."""
    code = code_of(number)
    return None if code is None else CODES[code]


def read_tel(text: str) -> TelUri:
    """The tel URI in `text`; RemoteError(400) when it is none."""
    scheme, _, rest = text.partition(":")
    if scheme.lower() != "tel" or len(text) > TEL_URI_CHARACTERS_MAX:
        raise RemoteError(f"{text[:60]!r} is no tel URI")
    subscriber, *parameters = rest.split(";")
    number = dialled_text(subscriber)
    if number is None:
        raise RemoteError(f"{subscriber[:60]!r} is no telephone number")
    values = {name.lower(): value for name, _, value in (each.partition("=") for each in parameters)}
    routing = dialled_text(values.get("rn", "")) or ""
    return TelUri(number, routing, "npdi" in values)
