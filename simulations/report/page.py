"""The report of one result: was every goal met, did every check pass, the plots, and how to repeat it."""

import html
from collections import Counter
from pathlib import Path

from simulations.command import repeat_command, value_text
from simulations.ladder import ladder_svg, ladder_text
from simulations.report.courses import curves, minutes, success
from simulations.report.distributions import call_setup, hops, lookup_latency, traffic
from simulations.report.document import document, heading
from simulations.report.loads import load
from simulations.report.look import Grid, Section, plot_settings
from simulations.report.pairs import ways
from simulations.report.ring import ring_map
from simulations.report.words import Markup, table
from simulations.results import Check, Figure, Result, Row
from simulations.wording import goal_words, goals_first, number

OUTCOMES_MAX = 30


def report_html(result: Result) -> str:
    """The whole report as one HTML text, the same bytes for the same result."""
    top = _verdict(result) + _thinned(result) + _figures(result.figures) + _checks(result.checks)
    with plot_settings():
        sections = [each for each in _sections(result.tables) if each is not None]
    return document(f"Simulation: {result.scenario}", _lead(result), top, sections, _origin(result))


def _sections(tables: dict[str, list[Row]]) -> list[Section | None]:
    lookups, calls = tables.get("lookups", []), tables.get("calls", [])
    nodes, by_minute = tables.get("nodes", []), tables.get("minutes", [])
    return [
        ladder_section(tables.get("ladder", [])),
        lookup_latency([("", lookups)]),
        hops([("", lookups)]),
        success([("", lookups)]),
        call_setup([("", calls)]),
        ways(calls),
        load(nodes),
        traffic([("", nodes)]),
        ring_map(nodes),
        minutes(by_minute),
        curves(tables.get("curve", [])),
    ]


def ladder_section(rows: list[Row]) -> Section | None:
    """One lookup, replayed."""
    if not rows:
        return None
    words = "Every datagram of one lookup, in the order of virtual time. Dashed arrows were lost."
    lines = tuple((row.get("t"), row.get("from"), row.get("to"), row.get("what"), row.get("bytes")) for row in rows)
    grid = Grid(("seconds", "from", "to", "what", "bytes"), lines)
    return Section("ladder", "One lookup as a ladder", words, ladder_svg(rows, description=ladder_text(rows)), grid)


def _lead(result: Result) -> str:
    peers = result.parameters.get("peers")
    who = f"{number(peers)} peers, " if isinstance(peers, int) else ""
    text = f"{who}{number(result.virtual_seconds / 60)} virtual minutes, seed {result.seed}, code {result.commit}"
    if result.study:
        text += f", study {Path(result.study).name}"
    return html.escape(text)


def _verdict(result: Result) -> str:
    failed = sum(not check.passed for check in result.checks)
    missed = sum(figure.met is False for figure in result.figures)
    words = []
    if result.interrupted:
        words.append('<span class="bad">The run was stopped before its end.</span>')
    if result.checks:
        kind, text = (
            ("bad", f"✗ {failed} of {len(result.checks)} checks failed.")
            if failed
            else ("good", "✓ All checks passed.")
        )
        words.append(f'<span class="{kind}">{text}</span>')
    asked = sum(figure.met is not None for figure in result.figures)
    if asked:
        kind, text = (
            ("bad", f"✗ {missed} of {asked} goals not met.")
            if missed
            else ("good", f"✓ All {asked} goals met." if asked > 1 else "✓ The goal was met.")
        )
        words.append(f'<span class="{kind}">{text}</span>')
    return f'<p class="verdict">{" ".join(words)}</p>' if words else ""


def _thinned(result: Result) -> str:
    """Whoever reads a plot of a sample shall know it."""
    lines = [
        f"The table {html.escape(table)} was full: one row in {one_in} was kept, evenly over the run."
        for table, one_in in result.kept_one_in.items()
    ]
    return f'<p class="note">{" ".join(lines)}</p>' if lines else ""


def _figures(figures: list[Figure]) -> str:
    if not figures:
        return ""
    asked = any(each.goal for each in figures)
    rows = [
        (each.name, each.value, _whole(each.unit))
        + ((_whole(goal_words(each.goal)), met_words(each.met)) if asked else ())
        for each in goals_first(figures)
    ]
    return heading("figures", "Figures") + table(("figure", "value", "unit", *(("goal", "") if asked else ())), rows)


def _whole(text: str) -> Markup:
    """A short cell that is not broken into lines."""
    return Markup(f'<td class="whole">{html.escape(text)}</td>')


def met_words(met: bool | None) -> Markup:
    """The verdict on a goal, in words and colour."""
    if met is None:
        return Markup("<td></td>")
    return Markup('<td class="good">✓ met</td>' if met else '<td class="bad">✗ not met</td>')


def passed_words(check: Check) -> Markup:
    """The verdict of a checker, in words and colour."""
    return Markup('<td class="good">✓ passed</td>' if check.passed else '<td class="bad">✗ failed</td>')


def _checks(checks: list[Check]) -> str:
    if not checks:
        return ""
    if all(each.passed for each in checks):
        return heading("checks", "Checks") + table(("check", ""), [(each.name, passed_words(each)) for each in checks])
    rows = [(each.name, passed_words(each), each.detail) for each in sorted(checks, key=lambda each: each.passed)]
    return heading("checks", "Checks") + table(("check", "", "first finding"), rows)


def _origin(result: Result) -> str:
    facts = [
        ("scenario", result.scenario),
        *((("study", f"{result.study}, SHA-256 {result.study_digest}…"),) if result.study else ()),
        *((f"parameter {name}", value_text(value)) for name, value in result.parameters.items()),
        ("seed", str(result.seed)),
        ("code", f"{result.commit} (version {result.version})"),
        ("sealing", result.sealing),
        ("trace hash", result.trace_hash),
        ("virtual time", f"{number(result.virtual_seconds)} s"),
        ("real time", f"{number(result.wall_seconds)} s, of which {number(result.cpu_seconds)} s of CPU"),
        ("datagrams", number(result.messages)),
        ("peak memory", f"{number(round(result.peak_memory_bytes / 1_000_000))} MB"),
    ]
    return (
        _outcomes(result.tables.get("calls", []))
        + heading("origin", "How to repeat this")
        + "<p>The same seed, parameters and code give the same trace to the byte.</p>"
        + f"<pre>{html.escape(repeat_command(result))}</pre>"
        + table(("what", "value"), facts, "facts")
    )


def _outcomes(calls: list[Row]) -> str:
    if not calls:
        return ""
    counts = Counter((str(row.get("outcome") or "–"), str(row.get("cause") or "")) for row in calls)
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:OUTCOMES_MAX]
    rows = [(outcome, cause, count, 100 * count / len(calls)) for (outcome, cause), count in ordered]
    return heading("outcomes", "How calls ended") + table(("outcome", "cause", "calls", "%"), rows)
