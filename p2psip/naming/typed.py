"""Telephone numbers as people type and paste them: "+44 20 7946-0018" is +442079460018 (RFC 3966 §5.1.1, E.123).

Programs write numbers plainly; this is for command lines and the like. Names and URIs pass as they are.
"""

import re

from p2psip.base.errors import RemoteError
from p2psip.naming.numbers import dialled_text

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_UNSEEN = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200e\u200f\u2060\u2066\u2067\u2068\u2069\u202a\u202b\u202c\u202d\u202e\ufeff")
)
_TRUNK_PREFIX = re.compile(r"\+.*\(\s*0\s*\)")
_SPACE = re.compile(r"\s")


def as_typed(text: str) -> str:
    """`text` without surrounding white space, and a number in it without what people set it out with.

    A number is the whole text, what follows `tel:`, or the user part of an address that has spaces, which no URI may have.
    RemoteError(400) for "+44 (0)20 …": nobody dials that 0 after a country's code, and in some countries it belongs there.
    """
    plain = text.strip()
    scheme, colon, rest = plain.partition(":")
    if colon and scheme.lower() == "tel":
        subscriber, semicolon, parameters = rest.partition(";")
        return f"{scheme}:{_number(subscriber) or subscriber}{semicolon}{parameters}"
    start = f"{scheme}:" if colon and scheme.lower() in ("sip", "sips") else ""
    user, at, host = plain.removeprefix(start).partition("@")
    if (start or at) and not _SPACE.search(user):
        return plain
    number = _number(user)
    return plain if number is None else f"{start}{number}{at}{host}"


def number_of_tel(text: str) -> str:
    """The number of a tel URI, without its parameters; any other text as it is."""
    return text[4:].partition(";")[0] if text[:4].lower() == "tel:" else text


def _number(text: str) -> str | None:
    seen = text.translate(_DASHES | _UNSEEN)
    number = dialled_text(seen)
    if number is not None and _TRUNK_PREFIX.search(seen):
        raise RemoteError(f"{text.strip()!r}: leave out the (0), or the code of the country", status=400)
    return number
