"""Sweeps: what a file may say, what is run and what is not run again, and what comes of it. Points run in this process here."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from p2psip.base.errors import P2psipError
from simulations.results import Result
from simulations.results import load as load_result
from simulations.studies import StudyError
from simulations.sweep import SweepOutcome, main_sweep
from simulations.sweep.fingerprint import fingerprint_of
from simulations.sweep.plan import POINTS_MAX, SweepError, read_plan
from simulations.sweep.work import Task

STUDY = '''
from simulations.checker import Checker
from simulations.network.plain import PlainNetwork
from simulations.scenario import scenario
from simulations.world import World

class Small(Checker):
    name = "small"

@scenario("tiny")
def tiny(run, *, size: int = 1, slope: float = 2.0, kind: str = "plain", fails: bool = False) -> None:
    """A scenario that needs no nodes."""
    if fails:
        raise RuntimeError("it had to fail")
    run.adopt(World(run.seed, PlainNetwork(run.chance)))
    checker = Small()
    run.check(checker)
    if size > 100:
        checker.fail("too large")
    run.figure("weight", slope * size + run.seed, "kg", goal="little")
    run.figure("name", kind)
    run.record("minutes", minute=1)
    run.record("lookups", t=1.0)
'''
SWEEP = """
scenario = "tiny"
title = "Weights <of> all"
files = ["study.py"]
x = "size"
figures = ["weight"]
seeds = 2
tables = ["minutes"]
[parameters]
kind = "round"
[grid]
size = [1, 10, 100]
slope = [2.0, 3.0]
"""


class InThisProcess:
    """A pool that runs tasks one after the other, and can be stopped like a person stops a program."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.tasks: list[Task] = []
        self.stop_after = stop_after

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | None, str]]:
        for task in tasks:
            if len(self.tasks) == self.stop_after:
                raise KeyboardInterrupt
            self.tasks.append(task)
            try:
                yield task, work(task), ""
            except RuntimeError as error:
                yield task, None, str(error)

    def opened(self) -> AbstractContextManager["InThisProcess"]:
        @contextmanager
        def opening() -> Iterator[InThisProcess]:
            yield self

        return opening()


class Study:
    """A folder with a study and a sweep file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sweep.toml"
        self.out = folder / "out"
        self.told: list[tuple[int, int, str]] = []
        (folder / "study.py").write_text(STUDY)
        self.file.write_text(SWEEP)

    def sweep(self, pool: InThisProcess) -> SweepOutcome:
        return main_sweep(
            self.file, scheduler=None, out=self.out, progress=lambda *told: self.told.append(told), pool=pool.opened
        )


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_every_combination_is_run_with_every_seed_and_drawn(study: Study) -> None:
    pool = InThisProcess()
    outcome = study.sweep(pool)
    assert outcome.passed
    assert (outcome.points, outcome.ran, outcome.resumed) == (12, 12, 0)
    assert study.told[0] == (0, 12, "0 points were finished before, 12 to run")
    assert study.told[-1] == (12, 12, "tiny kind=round size=100 slope=3.0 seed 2")
    kept = sorted((study.out / "points").iterdir())
    assert len(kept) == 12
    assert {name for path in kept for name in load_result(path).tables} == {"minutes"}
    assert outcome.csv is not None
    rows = list(csv.DictReader(outcome.csv.read_text().splitlines()))
    assert rows[1] == {
        "figure": "weight", "unit": "kg", "line": "slope=2.0", "size": "10",
        "seeds": "2", "mean": "21.5", "lowest": "21.0", "highest": "22.0",
    }  # fmt: skip
    assert len(rows) == 6
    assert outcome.json is not None
    curve = json.loads(outcome.json.read_text())["curves"][0]
    assert curve["lines"][1]["spots"][2] == {"x": 100, "values": [301.0, 302.0]}


def test_the_report_is_one_file_that_names_what_it_shows(study: Study) -> None:
    outcome = study.sweep(InThisProcess())
    assert outcome.report is not None
    page = outcome.report.read_text()
    assert "Weights &lt;of&gt; all" in page
    assert page.count("<svg") == 1
    assert "src=" not in page
    assert "12 points: 0 finished before, 12 run now, 0 failed" in page


def test_what_is_finished_is_not_run_again(study: Study) -> None:
    assert study.sweep(InThisProcess(stop_after=5)).interrupted
    assert (study.out / "curves.csv").exists()
    pool = InThisProcess()
    outcome = study.sweep(pool)
    assert (outcome.resumed, outcome.ran, len(pool.tasks)) == (5, 7, 7)
    again = InThisProcess()
    assert study.sweep(again).resumed == 12
    assert again.tasks == []


def test_a_larger_grid_runs_only_what_is_new(study: Study) -> None:
    study.sweep(InThisProcess())
    study.file.write_text(SWEEP.replace("seeds = 2", "seeds = [1, 2, 3]"))
    outcome = study.sweep(InThisProcess())
    assert (outcome.resumed, outcome.ran) == (12, 6)


def test_a_changed_study_is_another_version_of_the_code(study: Study) -> None:
    study.sweep(InThisProcess())
    (study.file.parent / "study.py").write_text(STUDY.replace("+ run.seed", "- run.seed"))
    outcome = study.sweep(InThisProcess())
    assert (outcome.resumed, outcome.ran) == (0, 12)
    assert outcome.notes == [f"12 results in {study.out} are of another grid or version of the code: not used"]


def test_a_damaged_result_is_run_again(study: Study) -> None:
    study.sweep(InThisProcess())
    next((study.out / "points").iterdir()).write_text('{"format"')
    assert study.sweep(InThisProcess()).ran == 1


def test_a_point_that_fails_is_reported_and_the_others_go_on(study: Study) -> None:
    study.file.write_text(SWEEP.replace("slope = [2.0, 3.0]", "fails = [false, true]"))
    outcome = study.sweep(InThisProcess())
    assert not outcome.passed
    assert (outcome.ran, len(outcome.failed)) == (6, 6)
    assert outcome.failed[0] == "tiny fails=True kind=round size=1 seed 1: it had to fail"
    assert outcome.report is not None
    assert outcome.failed[0] in outcome.report.read_text()
    assert study.sweep(InThisProcess()).resumed == 6


def test_a_check_that_fails_is_named_in_one_line(study: Study) -> None:
    study.file.write_text(SWEEP.replace("[1, 10, 100]", "[1, 101]").replace("seeds = 2", "seeds = [7]"))
    outcome = study.sweep(InThisProcess())
    assert (outcome.ran, len(outcome.broken)) == (4, 2)
    line = outcome.broken[0]
    assert line.startswith("FAILED tiny kind=round size=101 slope=2.0 seed 7 commit ")
    assert line.endswith(" checker small: too large")
    assert outcome.summary() == "4 points: 0 finished before, 4 run now, 0 failed, 2 checks failed"


def test_a_figure_that_is_not_there_is_named(study: Study) -> None:
    study.file.write_text(SWEEP.replace('"weight"', '"weight", "name", "height"'))
    assert study.sweep(InThisProcess()).notes == ["no result has a figure 'name'", "no result has a figure 'height'"]


def test_without_named_figures_all_numbers_are_drawn(study: Study) -> None:
    study.file.write_text(SWEEP.replace('figures = ["weight"]', "log_x = true"))
    outcome = study.sweep(InThisProcess())
    assert outcome.csv is not None
    assert {row["figure"] for row in csv.DictReader(outcome.csv.read_text().splitlines())} == {"weight"}


def test_an_axis_may_be_of_words(study: Study) -> None:
    study.file.write_text(SWEEP.replace('x = "size"', 'x = "kind"').replace('kind = "round"', "").replace(
        "size = [1, 10, 100]", 'kind = ["flat", "round"]'))  # fmt: skip
    outcome = study.sweep(InThisProcess())
    assert outcome.passed
    assert outcome.points == 8


def wrong(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('scenario = "tiny"', "", "names no scenario"),
        ('scenario = "tiny"', 'scenario = "tinny"', "there is no scenario tinny"),
        ("[grid]", "[grid", "no valid TOML"),
        ("size = [1, 10, 100]", "siz = [1]", "x = 'size' is no parameter of \\[grid\\]"),
        ("slope = [2.0, 3.0]", "slop = [1]", "no parameter slop"),
        ('kind = "round"', "kid = 1", "no parameter kid"),
        ('kind = "round"', "kind = [1]", "number, text or true/false"),
        ('kind = "round"', "size = 2", "stands in \\[parameters\\] and in \\[grid\\]"),
        ("[1, 10, 100]", "[1, 10.5]", "size must be a whole number"),
        ("[1, 10, 100]", "[1, 1]", "names a value twice"),
        ("[1, 10, 100]", "[]", "no list of numbers"),
        ("[1, 10, 100]", "1", "no list of numbers"),
        ("seeds = 2", "seeds = 0", "seeds is a list"),
        ("seeds = 2", "seeds = [1.5]", "seeds is a list"),
        ("seeds = 2", "seeds = [1, 1]", "named twice"),
        ("seeds = 2", "seeds = 2\nspeed = 1", "unknown key 'speed'"),
        ("seeds = 2", 'seeds = 2\nlog_x = "yes"', "log_x is true or false"),
        ("seeds = 2", 'seeds = 2\nsealing = "wax"', "sealing is one of"),
        ("seeds = 2", f"seeds = {POINTS_MAX // 6 + 1}", f"are more than {POINTS_MAX}"),
        ('files = ["study.py"]', 'files = ["studio.py"]', "cannot be read"),
        ('files = ["study.py"]', "files = 1", "files is a list of names"),
        ('figures = ["weight"]', f"figures = {[f'f{number}' for number in range(33)]}", "33 figures are more than 32"),
    ],
)
def test_a_wrong_file_gives_one_sentence_and_runs_nothing(study: Study, old: str, new: str, words: str) -> None:
    study.file.write_text(wrong(SWEEP, old, new))
    pool = InThisProcess()
    with pytest.raises(P2psipError, match=words) as caught:
        study.sweep(pool)
    assert "\n" not in str(caught.value)
    assert pool.tasks == []
    assert not study.out.exists()


def test_a_study_that_cannot_be_loaded_gives_one_sentence(study: Study) -> None:
    (study.file.parent / "study.py").write_text("import nothing_of_that_name")
    with pytest.raises(StudyError, match=r"study.py cannot be loaded: line 1: ModuleNotFoundError"):
        study.sweep(InThisProcess())


def test_a_file_that_is_not_there_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="there is no file"):
        read_plan(tmp_path / "none.toml")
    with pytest.raises(SweepError, match="cannot be read: Is a directory"):
        read_plan(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(SweepError, match="no valid TOML"):
        read_plan(tmp_path / "binary.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(SweepError, match="larger than"):
        read_plan(tmp_path / "large.toml")


def test_an_out_folder_that_is_a_file(study: Study) -> None:
    study.out.write_text("")
    with pytest.raises(SweepError, match="is no folder"):
        study.sweep(InThisProcess())


def test_an_out_folder_that_cannot_be_made(study: Study) -> None:
    study.out = Path("/proc/nobody/may/write/here")
    with pytest.raises(SweepError, match="cannot be written to"):
        study.sweep(InThisProcess())


def test_the_fingerprint_sees_code_that_runs_and_nothing_else(tmp_path: Path) -> None:
    for name in ("overlay/peer.py", "simulations/run.py", "simulations/sweep/plan.py", "p2psip/app/cli.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one = 1\n")
    before = fingerprint_of(tmp_path)
    (tmp_path / "simulations/sweep/plan.py").write_text("one = 2\n")
    (tmp_path / "overlay/notes.txt").write_text("")
    assert fingerprint_of(tmp_path) == before
    (tmp_path / "overlay/peer.py").write_text("one = 2\n")
    assert fingerprint_of(tmp_path) != before
