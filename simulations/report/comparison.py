"""The report of a comparison: what differs, figures side by side, checks that changed, distributions laid over one another."""

import html

from simulations.command import repeat_command
from simulations.compare import CheckPair, Comparison, FigurePair
from simulations.report.courses import success
from simulations.report.distributions import Series, call_setup, hops, lookup_latency, traffic
from simulations.report.document import document, heading
from simulations.report.look import Section, plot_settings
from simulations.report.page import met_words, passed_words
from simulations.report.words import Markup, table
from simulations.results import Check
from simulations.wording import goal_words, number


def comparison_html(comparison: Comparison) -> str:
    """The whole page as one HTML text, the same bytes for the same two results."""
    first, second = comparison.labels
    with plot_settings():
        plots = _plots(comparison)
    lead = (
        "Both sent the same datagrams to the byte."
        if comparison.same_trace
        else "Differences are the second minus the first."
    )
    return document(
        f"Comparison: {first} and {second}",
        lead,
        _differences(comparison) + _figures(comparison) + _checks(comparison),
        [plot for plot in plots if plot is not None],
        heading("origin", "How to repeat both")
        + "".join(
            f"<pre>{html.escape(repeat_command(result))}</pre>" for result in (comparison.first, comparison.second)
        ),
    )


def _plots(comparison: Comparison) -> list[Section | None]:
    lookups, calls, nodes = (_series(comparison, name) for name in ("lookups", "calls", "nodes"))
    return [lookup_latency(lookups), hops(lookups), success(lookups), call_setup(calls), traffic(nodes)]


def _series(comparison: Comparison, name: str) -> Series:
    results = (comparison.first, comparison.second)
    return [(label, each.tables.get(name, [])) for label, each in zip(comparison.labels, results, strict=True)]


def _differences(comparison: Comparison) -> str:
    if not comparison.parameters:
        return heading("differences", "What differs") + "<p>Scenario, parameters, seed and code are the same.</p>"
    return heading("differences", "What differs") + table(("what", *comparison.labels), comparison.parameters)


def _figures(comparison: Comparison) -> str:
    if not comparison.figures:
        return ""
    rows = [_figure_row(pair) for pair in comparison.figures]
    headings = ("figure", *comparison.labels, "unit", "difference", "ratio", "goal", *comparison.labels)
    return heading("figures", "Figures") + table(headings, rows)


def _figure_row(pair: FigurePair) -> tuple[object, ...]:
    verdicts = met_words(pair.first_met), met_words(pair.second_met)
    difference = pair.difference
    sign = "+" if difference is not None and difference > 0 else ""
    shown = "–" if difference is None else f"{sign}{number(difference)}"
    return pair.name, pair.first, pair.second, pair.unit, _right(shown), pair.ratio, goal_words(pair.goal), *verdicts


def _right(text: str) -> Markup:
    return Markup(f'<td class="n">{html.escape(text)}</td>')


def _checks(comparison: Comparison) -> str:
    if not comparison.checks:
        return ""
    changed = [pair for pair in comparison.checks if pair.changed]
    words = (
        f"{len(changed)} of {len(comparison.checks)} checks changed." if changed else "No check changed its verdict."
    )
    rows = [_check_row(pair) for pair in sorted(comparison.checks, key=lambda pair: not pair.changed)]
    headings = ("check", *comparison.labels, "", "first finding")
    return heading("checks", "Checks") + f"<p>{words}</p>" + table(headings, rows)


def _check_row(pair: CheckPair) -> tuple[object, ...]:
    detail = next((each.detail for each in (pair.second, pair.first) if each and each.detail), "")
    return pair.name, _verdict(pair.first), _verdict(pair.second), "changed" if pair.changed else "", detail


def _verdict(check: Check | None) -> Markup:
    return Markup("<td>–</td>") if check is None else passed_words(check)
