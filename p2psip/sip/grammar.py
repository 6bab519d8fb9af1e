"""The productions of RFC 3261 §25.1 that all header fields share: tokens, quoted strings, parameters, comma lists."""

import re
from collections.abc import Sequence

from p2psip.sip.errors import SipSyntaxError

Parameters = tuple[tuple[str, str | None], ...]

LIST_ITEMS_MAX = 128
PARAMETERS_MAX = 64

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_PARAMETER = re.compile(
    r"""\s*;\s*([A-Za-z0-9\-.!%*_+`'~]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|\[[0-9A-Fa-f:.]+\]|[^;,"\s<>=]+)\s*)?""", re.DOTALL
)
_PLAIN = re.compile(r"(?:;[a-z0-9\-]+(?:=[A-Za-z0-9\-.!%*_+~:]+)?)*")
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|<[^<>]*>|,|[^,"<>]+', re.DOTALL)
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)


def is_token(text: str) -> bool:
    """Whether `text` is one token."""
    return TOKEN.fullmatch(text) is not None


def unquote(text: str) -> str:
    """The content of a quoted string (with its quotes), unescaped."""
    return _UNQUOTE.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def quote(text: str) -> str:
    """`text` as a quoted string; NUL may stand in it only behind a backslash."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\\0") + '"'


def parse_parameters(text: str) -> Parameters:
    """`;name=value;flag` as pairs, names in lower case, quoted values with their quotes; SipSyntaxError otherwise."""
    if not text:
        return ()
    if _PLAIN.fullmatch(text):
        if ";" not in text[1:]:
            name, equals, value = text[1:].partition("=")
            return ((name, value if equals else None),)
        pairs = [part.partition("=") for part in text[1:].split(";")]
        if len(pairs) <= PARAMETERS_MAX:
            return tuple([(name, value if equals else None) for name, equals, value in pairs])
    found: list[tuple[str, str | None]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _PARAMETER.match(text, position)
        if match is None or len(found) == PARAMETERS_MAX:
            raise SipSyntaxError("a header field with parameters that cannot be read")
        found.append((match[1].lower(), match[2]))
        position = match.end()
    return tuple(found)


def format_parameters(parameters: Sequence[tuple[str, str | None]]) -> str:
    """The opposite of `parse_parameters`."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters)


def get_parameter(parameters: Parameters, name: str) -> str | None:
    """The value of parameter `name` (lower case); "" when it stands there without a value; None when it is absent."""
    for key, value in parameters:
        if key == name:
            return "" if value is None else value
    return None


def split_list(text: str) -> list[str]:
    """The items of a comma-separated list; commas in quotes and in angle brackets do not split."""
    if "," not in text:
        return [text]
    items: list[str] = []
    current: list[str] = []
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None or (match[0] == "," and len(items) == LIST_ITEMS_MAX - 1):
            raise SipSyntaxError("a header field with an unbalanced quote or bracket, or with too many items")
        if match[0] == ",":
            items.append("".join(current))
            current = []
        else:
            current.append(match[0])
        position = match.end()
    items.append("".join(current))
    return items
