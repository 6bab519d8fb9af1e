"""Two results side by side: figures with difference and ratio, parameters that differ, and checks whose verdict changed."""

from dataclasses import dataclass

from simulations.results import Cell, Check, Result
from simulations.wording import NARROW_SPACE, in_columns, number


@dataclass(frozen=True, slots=True)
class FigurePair:
    """One figure of both results; `difference` is second minus first, `ratio` second over first, None where there is none."""

    name: str
    unit: str
    first: Cell
    second: Cell
    goal: str | None
    first_met: bool | None
    second_met: bool | None

    @property
    def difference(self) -> float | None:
        """Second minus first."""
        numbers = self._numbers()
        return None if numbers is None else numbers[1] - numbers[0]

    @property
    def ratio(self) -> float | None:
        """Second over first."""
        numbers = self._numbers()
        return None if numbers is None or not numbers[0] else numbers[1] / numbers[0]

    def _numbers(self) -> tuple[float, float] | None:
        first, second = self.first, self.second
        if isinstance(first, bool | str) or isinstance(second, bool | str) or first is None or second is None:
            return None
        return first, second


@dataclass(frozen=True, slots=True)
class CheckPair:
    """One checker of both results; None where a result does not have it."""

    name: str
    first: Check | None
    second: Check | None

    @property
    def changed(self) -> bool:
        """Whether the verdict differs."""
        return (self.first and self.first.passed) != (self.second and self.second.passed)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two results, and what does not. `labels` tell them apart in plots and tables."""

    first: Result
    second: Result
    labels: tuple[str, str]
    parameters: list[tuple[str, Cell, Cell]]
    figures: list[FigurePair]
    checks: list[CheckPair]

    @property
    def same_trace(self) -> bool:
        """Whether both sent the same datagrams to the byte."""
        return bool(self.first.trace_hash) and self.first.trace_hash == self.second.trace_hash


def compare(first: Result, second: Result, labels: tuple[str, str] = ("A", "B")) -> Comparison:
    """Pair everything by name, in the order of the first result."""
    return Comparison(first, second, labels, _differing(first, second), _figures(first, second), _checks(first, second))


def comparison_text(comparison: Comparison) -> str:
    """What a terminal shows: the parameters that differ, each figure in columns, and each check that changed."""
    lines = [f"{name}: {_given(first)} -> {_given(second)}" for name, first, second in comparison.parameters]
    rows: list[tuple[str, ...]] = [("", "first", "second", "unit", "difference", "ratio")] if comparison.figures else []
    for pair in comparison.figures:
        if isinstance(pair.first, str) or isinstance(pair.second, str):
            rows.append((pair.name, "", "", f"{_shown(pair.first)} -> {_shown(pair.second)}"))
            continue
        difference = "" if pair.difference is None else f"{'+' if pair.difference > 0 else ''}{_shown(pair.difference)}"
        ratio = "" if pair.ratio is None else _shown(pair.ratio)
        rows.append((pair.name, _shown(pair.first), _shown(pair.second), pair.unit, difference, ratio))
    lines += in_columns(rows, right=(1, 2, 4, 5))
    for each in comparison.checks:
        if each.changed:
            lines.append(f"check {each.name}: {_verdict(each.first)} -> {_verdict(each.second)}")
    lines.append("the traces are the same" if comparison.same_trace else "the traces differ")
    return "\n".join(lines)


def _given(value: Cell) -> str:
    """As somebody typed it."""
    return "none" if value is None else str(value)


def _shown(value: Cell) -> str:
    return number(value).replace(NARROW_SPACE, " ")


def _verdict(check: Check | None) -> str:
    return "not there" if check is None else "passed" if check.passed else "failed"


def _differing(first: Result, second: Result) -> list[tuple[str, Cell, Cell]]:
    names = dict.fromkeys([*first.parameters, *second.parameters])
    facts: list[tuple[str, Cell, Cell]] = [
        ("scenario", first.scenario, second.scenario),
        ("seed", first.seed, second.seed),
        ("code", first.commit, second.commit),
        ("sealing", first.sealing, second.sealing),
        *((name, first.parameters.get(name), second.parameters.get(name)) for name in names),
    ]
    return [fact for fact in facts if fact[1] != fact[2]]


def _figures(first: Result, second: Result) -> list[FigurePair]:
    ours, theirs = ({each.name: each for each in result.figures} for result in (first, second))
    pairs = []
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        named = one or other
        assert named is not None
        pairs.append(
            FigurePair(
                name,
                named.unit,
                one.value if one else None,
                other.value if other else None,
                named.goal,
                one.met if one else None,
                other.met if other else None,
            )
        )
    return pairs


def _checks(first: Result, second: Result) -> list[CheckPair]:
    ours, theirs = ({each.name: each for each in result.checks} for result in (first, second))
    return [CheckPair(name, ours.get(name), theirs.get(name)) for name in dict.fromkeys([*ours, *theirs])]
