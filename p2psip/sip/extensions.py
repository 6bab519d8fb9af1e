"""Typed values of header fields that extensions of SIP add: option tags, and those of RFC 3262 and RFC 4028.

Option tags stand in Supported, Require and Unsupported (RFC 3261 §19.2, §20.32, §20.37), methods in Allow (§20.5).
"""

import re
from dataclasses import dataclass
from typing import Literal

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import get_parameter, is_token, parse_parameters
from p2psip.sip.headers import Headers

TOKENS_MAX = 64
RSEQ_MAX = 2**31 - 1
SESSION_SECONDS_MAX = 2**31 - 1

Refresher = Literal["uac", "uas"]

_RACK = re.compile(r"\s*([0-9]{1,10})\s+([0-9]{1,10})\s+([A-Za-z0-9\-.!%*_+`'~]+)\s*")
_SECONDS = re.compile(r"\s*([0-9]{1,10})\s*(;.*)?", re.DOTALL)


def tokens(headers: Headers, name: str) -> frozenset[str]:
    """The tokens that all lines of the field `name` list; what is no token is left out, and all beyond TOKENS_MAX."""
    found = [token.strip() for value in headers.all(name) for token in value.split(",", TOKENS_MAX)]
    return frozenset([token for token in found if is_token(token)][:TOKENS_MAX])


@dataclass(frozen=True, slots=True)
class RAck:
    """Which reliable provisional response a PRACK acknowledges (RFC 3262 §7.2)."""

    rseq: int
    cseq: int
    method: str

    @classmethod
    def of(cls, headers: Headers) -> "RAck":
        """The one RAck of a PRACK; SipSyntaxError when it is missing, repeated or cannot be read."""
        values = headers.all("RAck")
        match = _RACK.fullmatch(values[0]) if len(values) == 1 else None
        if match is None or not 0 < int(match[1]) <= RSEQ_MAX or int(match[2]) > RSEQ_MAX:
            raise SipSyntaxError("a PRACK needs one RAck: a response number, a sequence number and a method")
        return cls(int(match[1]), int(match[2]), match[3])

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def rseq_of(headers: Headers) -> int | None:
    """The number of a reliable provisional response (RFC 3262 §7.1); None when there is none that can be read."""
    text = (headers.get("RSeq") or "").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    return int(text) if 0 < int(text) <= RSEQ_MAX else None


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """How long a session lasts without a refresh, and who refreshes it: the client or the server of this request (RFC 4028 §4)."""

    seconds: int
    refresher: Refresher | None = None

    @classmethod
    def of(cls, headers: Headers) -> "SessionExpires | None":
        """The Session-Expires of a message, or None; SipSyntaxError when it cannot be read."""
        text = headers.get("Session-Expires")
        if text is None:
            return None
        match = _SECONDS.fullmatch(text)
        if match is None or int(match[1]) > SESSION_SECONDS_MAX:
            raise SipSyntaxError("a Session-Expires that is no number of seconds")
        refresher = (get_parameter(parse_parameters(match[2] or ""), "refresher") or "").lower()
        return cls(int(match[1]), "uac" if refresher == "uac" else "uas" if refresher == "uas" else None)

    def __str__(self) -> str:
        return str(self.seconds) if self.refresher is None else f"{self.seconds};refresher={self.refresher}"


def min_se_of(headers: Headers) -> int | None:
    """Min-SE in seconds (RFC 4028 §5); None when there is none that can be read."""
    match = _SECONDS.fullmatch(headers.get("Min-SE") or "")
    return min(int(match[1]), SESSION_SECONDS_MAX) if match is not None else None
