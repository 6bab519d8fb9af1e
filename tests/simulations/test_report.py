"""A report is one file that asks nobody for anything, says what the result says, and has the same bytes every time."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from simulations.command import repeat_command
from simulations.compare import compare
from simulations.report import comparison_html, report_html
from simulations.report.distributions import POINTS_MAX, thinned
from simulations.report.document import REPORT_BYTES_MAX
from simulations.report.words import share
from simulations.results import Result
from simulations.wording import number
from tests.simulations.made_up import ladder, made_up

ALL = {"ladder", "latency", "hops", "success", "setup", "ways", "load", "traffic", "ring", "minutes"}


class Page(HTMLParser):
    """Links, ids and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sections: list[str] = []
        self.drawings: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.links += [str(values[name]) for name in ("src", "href", "xlink:href", "action") if values.get(name)]
        if tag == "svg":
            self.drawings.append(values)
        assert tag not in ("script", "link", "iframe", "img", "object")


@pytest.fixture(scope="module")
def whole() -> str:
    result = made_up()
    result.tables["ladder"] = ladder()
    result.tables["curve"] = [{"x": x, "series": name, "y": x * 2.0} for x in (1, 2, 4) for name in ("a", "b")]
    return report_html(result)


def test_nothing_is_asked_of_anybody(whole: str) -> None:
    page = Page(whole)
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\((?!#)", whole)
    assert "@import" not in whole
    assert "default-src 'none'" in whole
    assert "://" not in whole


def test_every_table_has_its_plot_and_every_reference_its_target(whole: str) -> None:
    page = Page(whole)
    assert {*ALL, "curve"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", whole)) <= set(page.ids)
    for drawing in page.drawings:
        assert drawing["role"] == "img"
        assert set(str(drawing["aria-labelledby"]).split()) <= set(page.ids)


def test_it_says_what_the_result_says(whole: str) -> None:
    for words in (
        "✗ 1 of 2 checks failed",
        "✗ 1 of 2 goals not met",
        "abc1234",
        "5f" * 16,
        "at least 0.995",
        "&lt;&amp;&gt;",
    ):
        assert words in whole
    assert "survey <b>" not in whole
    assert "node <5>" not in whole
    assert "p2psip simulate churn --peers 60 --minutes 60.0 --seed 7" in whole


def test_colours_are_left_to_the_page(whole: str) -> None:
    assert "#0101" not in whole
    assert "var(--s1)" in whole
    assert "prefers-color-scheme: dark" in whole


def test_only_tables_with_rows_are_drawn() -> None:
    page = Page(report_html(Result("churn", 1)))
    assert (page.drawings, ALL & set(page.ids)) == ([], set())
    empty = Result(
        "churn", 1, tables={"lookups": [], "calls": [], "nodes": [], "minutes": [], "curve": [], "ladder": []}
    )
    assert Page(report_html(empty)).drawings == []
    alone = Result("churn", 1, tables={"nodes": made_up().tables["nodes"]})
    assert {"load", "traffic", "ring"} == ALL & set(Page(report_html(alone)).ids)


def test_rows_that_hold_nothing_are_no_plot_and_no_error() -> None:
    names: dict[str, list[str]] = {name: list(rows[0]) for name, rows in made_up().tables.items()}
    nothing: Any = {name: [dict.fromkeys(columns)] for name, columns in names.items()}
    assert Page(report_html(Result("churn", 1, tables=nothing))).drawings == []


def test_what_did_not_happen_is_not_drawn_but_said() -> None:
    rows = made_up().tables["minutes"]
    for row in rows:
        row["relays_in_use"] = row["joins"] = row["leaves"] = 0
    text = report_html(Result("churn", 1, tables={"minutes": rows}))
    assert "Nothing happened, and nothing is drawn: nodes per minute, relays in use." in text
    assert "relays in use</text>" not in text
    few = Result("churn", 1, tables={"lookups": made_up().tables["lookups"][:5]})
    assert "success" not in Page(report_html(few)).ids
    assert "A curve of fewer than 20 values says little: here there are as few as " in report_html(few)


def test_a_table_that_is_a_sample_is_said_to_be_one() -> None:
    text = report_html(Result("churn", 1, kept_one_in={"lookups": 4}))
    assert "The table lookups was full: one row in 4 was kept, evenly over the run." in text
    assert "was full" not in report_html(Result("churn", 1))


def test_goals_stand_first_those_that_were_not_met_above_all(whole: str) -> None:
    places = [whole.index(figure.name) for figure in made_up().figures]
    assert places[1] < places[0] < places[2]


def test_a_study_is_named_with_the_digest_of_its_text() -> None:
    text = report_html(Result("misers", 1, study="./my_study.py", study_digest="5f5f"))
    assert "p2psip simulate ./my_study.py:misers --seed 1" in text
    assert "./my_study.py, SHA-256 5f5f" in text


def test_one_lookup_is_enough_to_draw() -> None:
    tables = {name: rows[:1] for name, rows in made_up().tables.items()}
    assert "<svg" in report_html(Result("churn", 1, tables=tables))


@pytest.mark.slow
def test_the_same_result_gives_the_same_bytes_in_any_process() -> None:
    code = (
        "import hashlib; from simulations.report import report_html; from tests.simulations.made_up import made_up;"
        "print(hashlib.sha256(report_html(made_up(20)).encode()).hexdigest())"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1


@pytest.mark.slow
def test_ten_thousand_peers_stay_below_two_megabytes() -> None:
    assert len(report_html(made_up(10_000)).encode()) < REPORT_BYTES_MAX


def test_curves_are_thinned_evenly() -> None:
    values = [float(value) for value in range(POINTS_MAX)]
    assert len(thinned(values)[0]) == POINTS_MAX
    assert thinned([3.0, 4.0]) == ([3.0, 3.0, 4.0], [0.0, 0.5, 1.0])
    x, y = thinned([*values, float(POINTS_MAX)])
    assert (len(x), x[0], x[-1], y[-1]) == (POINTS_MAX, 0.0, float(POINTS_MAX), 1.0)


def test_a_comparison_lays_both_over_one_another() -> None:
    text = comparison_html(compare(made_up(), made_up(40, 8, slow=1.5), ("a.json", "b.json")))
    page = Page(text)
    assert all(link.startswith("#") for link in page.links)
    assert {"latency", "hops", "success", "setup", "traffic"} <= set(page.ids)
    assert "a.json" in text
    assert "No check changed its verdict." in text


def test_the_command_repeats_the_run() -> None:
    assert repeat_command(
        Result("day", 3, parameters={"peers": 5, "nats": True, "least": 0.5}, sealing="stand-in")
    ) == ("p2psip simulate day --peers 5 --seed 3 --sealing stand-in --set nats=true --set least=0.5")


def test_numbers_are_easy_to_read() -> None:
    shown = [
        number(value).replace("\N{NARROW NO-BREAK SPACE}", " ")
        for value in (1234567, 1234.5, 0.25, 1e-7, None, True, 0.0)
    ]
    assert shown == ["1 234 567", "1 234", "0.25", "1e-07", "–", "yes", "0"]
    assert share(0.9951).replace("\N{NARROW NO-BREAK SPACE}", " ") == "99.51 %"
