"""Extended regular expressions of strangers (POSIX ERE), matched by a machine that cannot be made to run for long.

NAPTR records hold expressions that anybody may have written (RFC 3402 §3.2). Python's `re` speaks another dialect and can be
made to run for ever, so this is a machine of our own: the expression becomes a program, and all its threads step through
the text together (Thompson's construction, with captures), so a step costs no more than the program is long. The longest
match from the earliest start wins, as POSIX wants; of equal ones, the one that earlier parts took most of.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from p2psip.naming.expression_syntax import (
    EXPRESSION_CHARACTERS_MAX,
    Edge,
    Either,
    ExpressionError,
    ExpressionReader,
    Group,
    Node,
    One,
    Repeat,
    Row,
)

TEXT_CHARACTERS_MAX = 32  # what is matched is a plus sign and at most 15 digits
INSTRUCTIONS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Take:
    one: One


@dataclass(slots=True)
class _Split:
    """Two ways on; the first is preferred."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class _Save:
    slot: int


@dataclass(frozen=True, slots=True)
class _Require:
    at: Literal["start", "end"]


@dataclass(slots=True)
class _Jump:
    to: int


_Instruction: TypeAlias = _Take | _Split | _Save | _Require | _Jump | None
"""None accepts."""

Spans: TypeAlias = tuple[int, ...]
"""Start and end of the whole match and of each group; -1 for a group that took no part."""


class Expression:
    """An expression that was read; `fold` makes it blind for upper and lower case (RFC 3402 §3.2, flag "i")."""

    def __init__(self, text: str, *, fold: bool = False) -> None:
        """ExpressionError for what cannot be read or is too large."""
        if len(text) > EXPRESSION_CHARACTERS_MAX:
            raise ExpressionError(f"an expression of more than {EXPRESSION_CHARACTERS_MAX} characters")
        reader = ExpressionReader(text, fold)
        tree = reader.read()
        self.groups = reader.groups
        self._program: list[_Instruction] = []
        self._emit(_Save(0))
        self._compile(tree)
        self._emit(_Save(1))
        self._emit(None)

    def search(self, text: str) -> Spans | None:
        """The longest match from the earliest start, or None. ExpressionError for a text longer than is ever looked at."""
        if len(text) > TEXT_CHARACTERS_MAX:
            raise ExpressionError(f"a text of more than {TEXT_CHARACTERS_MAX} characters")
        for start in range(len(text) + 1):
            found = self._match(text, start)
            if found is not None:
                return found
        return None

    def _match(self, text: str, start: int) -> Spans | None:
        blank: Spans = (-1,) * (2 + 2 * self.groups)
        threads: dict[int, Spans] = {}
        self._follow(threads, 0, blank, start, len(text))
        found: Spans | None = None
        accept = len(self._program) - 1
        for position in range(start, len(text) + 1):
            if accept in threads:
                found = threads[accept]
            if position == len(text) or not threads:
                break
            following: dict[int, Spans] = {}
            for number, spans in threads.items():
                instruction = self._program[number]
                if isinstance(instruction, _Take) and instruction.one.takes(text[position]):
                    self._follow(following, number + 1, spans, position + 1, len(text))
            threads = following
        return found

    def _follow(self, threads: dict[int, Spans], number: int, spans: Spans, position: int, end: int) -> None:
        """Put the thread at `number` down, and all that it becomes without taking a character; preferred ones first."""
        waiting = [(number, spans)]
        while waiting:
            number, spans = waiting.pop()
            if number in threads:
                continue
            threads[number] = spans
            match self._program[number]:
                case _Jump(to):
                    waiting.append((to, spans))
                case _Split(first, second):
                    waiting += [(second, spans), (first, spans)]
                case _Save(slot):
                    waiting.append((number + 1, (*spans[:slot], position, *spans[slot + 1 :])))
                case _Require(at):
                    if position == (0 if at == "start" else end):
                        waiting.append((number + 1, spans))
                case _:
                    pass

    def _emit(self, instruction: _Instruction) -> int:
        if len(self._program) >= INSTRUCTIONS_MAX:
            raise ExpressionError("an expression that becomes too large")
        self._program.append(instruction)
        return len(self._program) - 1

    def _compile(self, node: Node) -> None:
        match node:
            case One():
                self._emit(_Take(node))
            case Edge(at):
                self._emit(_Require(at))
            case Row(parts):
                for part in parts:
                    self._compile(part)
            case Group(inner, number):
                self._emit(_Save(2 * number))
                self._compile(inner)
                self._emit(_Save(2 * number + 1))
            case Either(ways):
                self._compile_ways(ways)
            case Repeat(inner, least, most):
                self._compile_repeat(inner, least, most)

    def _compile_ways(self, ways: tuple[Node, ...]) -> None:
        jumps: list[_Jump] = []
        for way in ways[:-1]:
            split = _Split(0, 0)
            split.first = self._emit(split) + 1
            self._compile(way)
            jump = _Jump(0)
            split.second = self._emit(jump) + 1
            jumps.append(jump)
        self._compile(ways[-1])
        for jump in jumps:
            jump.to = len(self._program)

    def _compile_repeat(self, inner: Node, least: int, most: int | None) -> None:
        for _ in range(least):
            self._compile(inner)
        if most is None:
            split = _Split(0, 0)
            at = self._emit(split)
            split.first = at + 1
            self._compile(inner)
            split.second = self._emit(_Jump(at)) + 1
            return
        splits: list[_Split] = []
        for _ in range(most - least):
            split = _Split(0, 0)
            split.first = self._emit(split) + 1
            splits.append(split)
            self._compile(inner)
        for split in splits:
            split.second = len(self._program)
