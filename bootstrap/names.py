"""What overlays, people and numbers may be called."""

import re

from p2psip.base.errors import RemoteError

OVERLAY_CHARACTERS_MAX = 39
NAME_CHARACTERS_MAX = 24  # name@overlay must fit into the 64 characters of a common name (RFC 5280 appendix A.1)
NUMBER_FIRST = 1_001
NUMBER_LEAST = 1_000
NUMBER_MOST = 99_999_999
RESERVED_NAMES = frozenset(("anonymous", "bootstrap", "conference", "echo", "emergency", "tone", "voicemail"))

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_NAME = re.compile(r"[a-z]([a-z0-9._-]*[a-z0-9])?", re.ASCII)


def is_host_name(text: str) -> bool:
    """Whether `text` is a host name in small letters (RFC 1123 §2.1) that cannot be taken for an IPv4 address."""
    return len(text) <= 253 and _HOST.fullmatch(text) is not None and not text.rpartition(".")[2].isdigit()


def check_overlay_name(text: str) -> str:
    """An overlay's name in small letters; RemoteError if it cannot stand after the @ of a SIP address."""
    name = text.lower()
    if not text.isascii() or len(name) > OVERLAY_CHARACTERS_MAX or not is_host_name(name):
        raise RemoteError(
            f"an overlay needs a name like home.example: letters, digits, hyphens and dots, at most "
            f"{OVERLAY_CHARACTERS_MAX} characters"
        )
    return name


def check_name(text: str) -> str:
    """A person's name in small letters; RemoteError(400) if it cannot be one."""
    name = text.lower()
    if not text.isascii() or len(name) > NAME_CHARACTERS_MAX or not _NAME.fullmatch(name):
        raise RemoteError(
            f"choose a name of at most {NAME_CHARACTERS_MAX} letters, digits, dots, hyphens or underscores that begins "
            f"with a letter and ends with a letter or digit"
        )
    return name


def check_number(number: int) -> int:
    """A numeric alias that a keypad can dial and that no emergency or trunk prefix hides; else RemoteError(400)."""
    if not NUMBER_LEAST <= number <= NUMBER_MOST:
        raise RemoteError("choose a number of four to eight digits that does not begin with zero")
    return number
