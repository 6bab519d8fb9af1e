"""XML from others: read without entities, without a DOCTYPE, in UTF-8 only, and within bounds.

Entity bombs and external entities need a document type declaration; RFC 3863 and RFC 4235 need none. So there is none here.
"""

import re
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from p2psip.base.errors import RemoteError

MARKUP_BYTES_MAX = 16_384
ELEMENTS_MAX = 512
DEPTH_MAX = 16
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

_NO_CHARACTER = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2


def parse_markup(data: bytes) -> Element:
    """The root element of a document; names are `{namespace}local`. RemoteError(400), or 413 when it is too large."""
    if len(data) > MARKUP_BYTES_MAX:
        raise RemoteError(f"a document of more than {MARKUP_BYTES_MAX} bytes", status=413)
    reading = _Reading()
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.builder.data
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise RemoteError(f"a document that is no XML: {expat.errors.messages.get(error.code, 'unknown')}") from error
    return reading.builder.close()


def text_of(element: Element | None) -> str:
    """The text inside, without spaces around it; empty without an element."""
    return "" if element is None or element.text is None else element.text.strip()


def element(name: str, inside: str = "", **attributes: str) -> str:
    """One element; `inside` is markup already. A trailing underscore of an attribute's name is dropped (`id_`)."""
    written = "".join(f" {key.rstrip('_')}={quoteattr(_fit(value))}" for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def words(text: str) -> str:
    """Text as markup."""
    return escape(_fit(text))


def _fit(text: str) -> str:
    """What no document may hold, and surrogates that cannot be encoded, become replacement characters."""
    return _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text)


class _Reading:
    """Builds the tree within the bounds."""

    def __init__(self) -> None:
        self.builder = TreeBuilder()
        self._depth = self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > DEPTH_MAX or self._count > ELEMENTS_MAX:
            raise RemoteError("a document that is nested too deep, or of too many elements", status=413)
        self.builder.start(_name(name), {_name(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        self._depth -= 1
        self.builder.end(_name(name))


def _name(name: str) -> str:
    return "{" + name if "}" in name else name


def _refuse(*_what: Any) -> int:
    raise RemoteError("a document with a document type declaration")
