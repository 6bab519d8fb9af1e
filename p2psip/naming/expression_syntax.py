"""The syntax of extended regular expressions (POSIX ERE, IEEE 1003.1 §9.4 and §9.5.3): text in, a tree out.

Left out: back-references inside an expression (not of ERE), collating elements and equivalence classes.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from p2psip.base.errors import RemoteError

EXPRESSION_CHARACTERS_MAX = 255  # a <character-string> of RFC 1035
REPETITIONS_MAX = 64
GROUPS_MAX = 9  # no more can be named; so many may stand inside one another

_DIGITS = frozenset("0123456789")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_CLASSES = {
    "digit": _DIGITS,
    "lower": _LOWER,
    "upper": _UPPER,
    "alpha": _LOWER | _UPPER,
    "alnum": _LOWER | _UPPER | _DIGITS,
    "xdigit": frozenset("0123456789abcdefABCDEF"),
    "punct": _PUNCTUATION,
    "space": frozenset(" \t\n\v\f\r"),
    "blank": frozenset(" \t"),
    "cntrl": frozenset(map(chr, (*range(32), 127))),
    "graph": _LOWER | _UPPER | _DIGITS | _PUNCTUATION,
    "print": _LOWER | _UPPER | _DIGITS | _PUNCTUATION | {" "},
}


class ExpressionError(RemoteError):
    """An expression that cannot be read, or that is larger than we take."""


@dataclass(frozen=True, slots=True)
class One:
    """One character: of the set, or (`negated`) any that is not."""

    characters: frozenset[str]
    negated: bool = False

    def takes(self, character: str) -> bool:
        """Whether this is one of them."""
        return (character in self.characters) != self.negated


@dataclass(frozen=True, slots=True)
class Edge:
    """The start or the end of the text."""

    at: Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class Group:
    """A part in parentheses; `number` counts from 1."""

    inner: "Node"
    number: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part from `least` to `most` times; None for any number."""

    inner: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """Parts one after the other."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    """Ways to choose from."""

    ways: "tuple[Node, ...]"


Node: TypeAlias = One | Edge | Group | Repeat | Row | Either


class ExpressionReader:
    """Reads one expression; `groups` counts its parentheses."""

    def __init__(self, text: str, fold: bool) -> None:
        self._text = text
        self._at = 0
        self._fold = fold
        self.groups = 0

    def read(self) -> Node:
        """The tree; ExpressionError for what cannot be read or is too large."""
        tree = self._either()
        if self._at < len(self._text):
            raise ExpressionError("an expression with a parenthesis that was never opened")
        return tree

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise ExpressionError("an expression that ends too early")
        self._at += 1
        return character

    def _either(self) -> Node:
        ways = [self._row()]
        while self._peek() == "|":
            self._at += 1
            ways.append(self._row())
        return ways[0] if len(ways) == 1 else Either(tuple(ways))

    def _row(self) -> Node:
        parts: list[Node] = []
        while (character := self._peek()) and character != "|" and character != ")":
            is_first = not parts or isinstance(parts[-1], Edge)
            part = self._part(is_first)
            while self._peek() in ("*", "+", "?", "{") and self._peek() and not isinstance(part, Edge):
                part = self._repeat(part)
            parts.append(part)
        return Row(tuple(parts))

    def _part(self, is_first: bool) -> Node:
        match self._next():
            case "(":
                return self._group()
            case "[":
                return self._bracket()
            case ".":
                return One(frozenset(), negated=True)
            case "^":
                return Edge("start")
            case "$":
                return Edge("end")
            case "\\":
                return self._escaped()
            case "*" | "+" | "?" | "{" as sign:
                if is_first and sign == "+":  # "^+46" is written for "^\+46" often enough, and means nothing else
                    return self._one("+")
                raise ExpressionError(f"an expression that repeats nothing ({sign!r})")
            case character:
                return self._one(character)

    def _group(self) -> Node:
        self.groups += 1
        if self.groups > GROUPS_MAX:
            raise ExpressionError(f"an expression with more than {GROUPS_MAX} groups")
        number = self.groups
        inner = self._either()
        if self._peek() != ")":
            raise ExpressionError("an expression with a parenthesis that is never closed")
        self._at += 1
        return Group(inner, number)

    def _escaped(self) -> Node:
        character = self._next()
        if character.isalnum():  # undefined by POSIX, and "\d" means something else elsewhere
            raise ExpressionError(f"an expression with an escape that POSIX does not know (\\{character})")
        return self._one(character)

    def _one(self, character: str) -> One:
        return One(self._both_cases({character}))

    def _both_cases(self, characters: set[str] | frozenset[str]) -> frozenset[str]:
        if not self._fold:
            return frozenset(characters)
        return frozenset({case for each in characters for case in (each, each.lower(), each.upper())})

    def _repeat(self, part: Node) -> Repeat:
        match self._next():
            case "*":
                return Repeat(part, 0, None)
            case "+":
                return Repeat(part, 1, None)
            case "?":
                return Repeat(part, 0, 1)
            case _:
                return self._interval(part)

    def _interval(self, part: Node) -> Repeat:
        end = self._text.find("}", self._at)
        if end < 0:
            raise ExpressionError("an expression with a brace that is never closed")
        low, comma, high = self._text[self._at : end].partition(",")
        self._at = end + 1
        numbers = [low, high] if comma and high else [low]
        if not all(number.isascii() and number.isdigit() and len(number) <= 3 for number in numbers):
            raise ExpressionError("an expression with an interval that cannot be read")
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > REPETITIONS_MAX or (most is not None and most < least):
            raise ExpressionError(f"an expression that repeats from {least} to {most} times")
        return Repeat(part, least, most)

    def _bracket(self) -> One:
        negated = self._peek() == "^"
        self._at += negated
        characters: set[str] = set()
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            if self._text.startswith("[:", self._at):
                characters |= self._class()
                continue
            low = self._bracket_character()
            following = self._text[self._at : self._at + 2]
            if following[:1] == "-" and following[1:] not in ("]", ""):
                self._at += 1
                high = self._bracket_character()
                if high < low:
                    raise ExpressionError(f"an expression with a range that runs backwards ({low}-{high})")
                characters |= set(map(chr, range(ord(low), min(ord(high), 0xFF) + 1)))
            else:
                characters.add(low)
        self._at += 1
        return One(self._both_cases(characters), negated)

    def _bracket_character(self) -> str:
        character = self._next()
        if character == "[" and self._peek() in (".", "="):
            raise ExpressionError("an expression with collating elements")
        return character

    def _class(self) -> frozenset[str]:
        end = self._text.find(":]", self._at)
        name = self._text[self._at + 2 : end] if end >= 0 else ""
        if name not in _CLASSES:
            raise ExpressionError(f"an expression with a character class that does not exist ({name[:16]!r})")
        self._at = end + 2
        return _CLASSES[name]
