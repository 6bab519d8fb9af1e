"""What a terminal shows at the end of a run: its figures, those with a goal first, its checks, and what it cost."""

from typing import Any

from simulations.results import Figure, Result
from simulations.wording import NARROW_SPACE, goal_words, goals_first, in_columns
from simulations.wording import number as narrow_number

PLAIN, GOOD, BAD = "", "green", "bold red"
Line = tuple[str, str]
"""Text, and the style that a terminal gives it (PLAIN, GOOD or BAD)."""


def summary(result: Result) -> list[Line]:
    """The lines, aligned; a check that failed is named here, its finding is another line on standard error."""
    lines = _figures(result.figures)
    if result.checks:
        failed = [check.name for check in result.checks if not check.passed]
        passed = [check.name for check in result.checks if check.passed]
        lines += (
            [(f"{len(passed)} of {len(result.checks)} checks passed: {', '.join(passed)}", PLAIN)] if passed else []
        )
        lines += [(f"{len(failed)} of {len(result.checks)} checks FAILED: {', '.join(failed)}", BAD)] if failed else []
    for table, one_in in result.kept_one_in.items():
        lines.append((f"the table {table} was full: one row in {one_in} was kept", PLAIN))
    lines.append((_cost(result), PLAIN))
    lines.append((f"trace {result.trace_hash}", PLAIN))
    return lines


def failures(result: Result) -> list[str]:
    """One line for each check that failed: all that is needed to see it again."""
    return [
        " ".join(f"FAILED {result.named} seed {result.seed} commit {result.commit} checker {name}: {detail}".split())
        for name, detail in ((check.name, check.detail) for check in result.checks if not check.passed)
    ]


def _figures(figures: list[Figure]) -> list[Line]:
    ordered = goals_first(figures)
    rows = [(each.name, *_value(each), goal_words(each.goal), _verdict(each)) for each in ordered]
    styles = [PLAIN if each.met is None else GOOD if each.met else BAD for each in ordered]
    return list(zip(in_columns(rows, right=(1,)), styles, strict=True))


def _value(figure: Figure) -> tuple[str, str]:
    """Number and unit; a text stands where the unit would, for it is no column of numbers."""
    if isinstance(figure.value, str):
        return "", f"{figure.value} {figure.unit}".strip()
    return number(figure.value), figure.unit


def number(value: Any) -> str:
    """As in a report, with plain spaces: terminals and logs do not know others."""
    return narrow_number(value).replace(NARROW_SPACE, " ")


def _verdict(figure: Figure) -> str:
    return "" if figure.met is None else "met" if figure.met else "NOT MET"


def _cost(result: Result) -> str:
    speed = f", {number(round(result.messages / result.cpu_seconds))} per CPU second" if result.cpu_seconds else ""
    time = f"{number(result.virtual_seconds / 60)} virtual minutes in {number(round(result.wall_seconds, 1))} s"
    memory = f", {number(round(result.peak_memory_bytes / 1_000_000))} MB" if result.peak_memory_bytes else ""
    return f"{number(result.messages)} datagrams{speed}; {time}{memory}"
