"""`p2psip simulate` as a person types it: runs, saved results, reports, and one clear sentence for each mistake."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from p2psip.app.cli import app
from p2psip.base.errors import P2psipError
from simulations import run as running
from simulations import scenario as registry
from simulations.checker import Checker
from simulations.results import Result, ResultError, load
from simulations.run import Run
from simulations.scenario import scenario
from simulations.scenarios import everyday
from tests.simulations.made_up import made_up


class Never(Checker):
    """Fails at once."""

    name = "never"

    def finish(self, now: float) -> None:
        """Two findings, one on two lines."""
        self.fail("u1@sim.example\nis gone")
        self.fail("and another")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios that take no time: `quick` passes, `failing` does not, `stopped` is interrupted."""
    assert everyday.lookups_only is not None  # the scenarios of the project are registered by their import
    monkeypatch.setattr(registry, "_scenarios", dict(registry._scenarios))
    monkeypatch.setattr(running, "commit", lambda: "abc1234")

    @scenario("quick")
    def quick_one(run: Run, *, peers: int = 3, minutes: float = 1.0) -> None:
        """Three public peers."""
        swarm = run.swarm()
        grown = swarm.grow(peers)
        run.for_minutes(minutes)
        run.figure("grown", len(grown), goal="all", met=len(grown) == peers)

    @scenario("failing")
    def failing(run: Run, *, peers: int = 1) -> None:
        """A checker that always fails."""
        run.swarm()
        run.check(Never())

    @scenario("stopped")
    def stopped(run: Run, *, peers: int = 1) -> None:
        """Somebody types Ctrl-C."""
        run.swarm()
        raise KeyboardInterrupt

    @scenario("stopped-village")
    def stopped_village(run: Run, *, peers: int = 1) -> None:
        """Somebody types Ctrl-C while a nursery runs."""
        run.swarm()
        raise BaseExceptionGroup("nursery", [KeyboardInterrupt()])


def simulate(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_a_scenario_runs_and_is_saved_and_reported(tmp_path: Path) -> None:
    out, report = tmp_path / "x.json", tmp_path / "x.html"
    done = simulate("quick", "--peers", 2, "--seed", 5, "--set", "minutes=0.5", "--out", out, "--report", report)
    assert done.exit_code == 0, done.output
    assert "grown  2    all  met" in done.stdout
    result = load(out)
    assert (result.seed, result.parameters, result.sealing) == (5, {"peers": 2, "minutes": 0.5}, "stand-in")
    assert result.trace_hash in done.stdout
    assert "p2psip simulate quick --peers 2" in report.read_text()


def test_the_word_run_may_stand_there_and_results_may_be_folders(tmp_path: Path) -> None:
    assert simulate("run", "quick", "--out", tmp_path / "folder").exit_code == 0
    assert load(tmp_path / "folder").scenario == "quick"


def test_a_failing_checker_prints_one_line() -> None:
    done = simulate("failing", "--seed", 7)
    assert done.exit_code == 1
    assert done.stderr == "FAILED failing seed 7 commit abc1234 checker never: u1@sim.example is gone (2 in all)\n"


def test_a_run_that_is_stopped_saves_what_there_is(tmp_path: Path) -> None:
    done = simulate("stopped", "--out", tmp_path / "x.json")
    assert done.exit_code == 130
    assert (
        done.stderr == f"p2psip: stopped after 0.0 virtual minutes; what there is was saved in {tmp_path / 'x.json'}\n"
    )
    assert load(tmp_path / "x.json").interrupted
    assert "nothing was saved" in simulate("stopped").stderr
    done = simulate("stopped-village", "--out", tmp_path / "y.json")
    assert (done.exit_code, load(tmp_path / "y.json").interrupted) == (130, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no scenario nowhere; there are "),
        (["quick", "--set", "colour=1"], "has no parameter colour; it has peers, minutes"),
        (["failing", "--minutes", "3"], "has no parameter minutes; it has peers"),
        (["quick", "--set", "colour"], "--set wants NAME=VALUE"),
        (["quick", "--set", "minutes=soon"], "the parameter minutes must be a number"),
        (["quick", "--sealing", "wax"], "choose real or stand-in"),
        (["stopped", "--out", "no/where.json"], "there is no folder"),
        (["stopped", "--report", "no/where.html"], "there is no folder"),
        (["report", "none.json"], "there is no result at none.json"),
        (["compare", "none.json", "none.json"], "there is no result at none.json"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = simulate(*arguments)
    assert isinstance(done.exception, P2psipError), done.output
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)


def test_all_scenarios_are_listed() -> None:
    done = simulate("list")
    assert done.exit_code == 0
    assert "quick  Three public peers." in done.stdout
    assert "peers=3, minutes=1.0" in done.stdout


def test_saved_results_are_reported_and_compared(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b"
    made_up(20).save(first)
    made_up(20, 8, slow=2.0).save(second)
    assert simulate("report", first).stdout == f"{tmp_path / 'a.html'}\n"
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    done = simulate("compare", first, second, "--report", tmp_path / "c.html")
    assert re.search(r"^round trips, 95 % of lookups +4.3 +8.6  round trips +\+4.3 +2$", done.stdout, re.MULTILINE)
    assert "the traces are the same" in done.stdout
    assert str(second) in (tmp_path / "c.html").read_text()


def test_one_lookup_is_replayed_as_a_ladder(tmp_path: Path) -> None:
    arguments = ("lookups", "--peers", 20, "--minutes", 0.2, "--replay", 3)
    done = simulate(*arguments, "--out", tmp_path / "x.json", "--report", tmp_path / "x.html")
    assert done.exit_code in (0, 1), done.output
    assert "lookup 3: node " in done.stdout
    rows = load(tmp_path / "x.json").tables["ladder"]
    assert rows[0]["what"] == "find"
    assert any(str(row["what"]).startswith("answer") for row in rows)
    assert "One lookup as a ladder" in (tmp_path / "x.html").read_text()
    assert simulate(*arguments).stdout.splitlines()[:4] == done.stdout.splitlines()[:4]


def test_a_lookup_that_is_not_there_costs_nothing_but_its_ladder(tmp_path: Path) -> None:
    done = simulate("quick", "--replay", 1, "--out", tmp_path / "x.json")
    assert done.exit_code == 1
    assert done.stderr == "p2psip: there is no lookup 1: this run recorded 0\n"
    assert "grown  3 " in done.stdout
    assert load(tmp_path / "x.json").passed


def test_a_file_of_ones_own_is_run_by_its_name(tmp_path: Path) -> None:
    study = tmp_path / "my_study.py"
    study.write_text(
        "from simulations.scenario import scenario\n\n\n@scenario('mine')\n"
        'def mine(run, *, peers: int = 2):\n    """Mine."""\n    run.figure(\'grown\', len(run.swarm().grow(peers)))\n'
    )
    out, report = tmp_path / "x.json", tmp_path / "x.html"
    done = simulate(f"{study}:mine", "--peers", 3, "--out", out, "--report", report)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert "grown  3" in done.stdout
    result = load(out)
    assert (result.scenario, result.study, result.named) == ("mine", str(study), f"{study}:mine")
    assert f"p2psip simulate {study}:mine --peers 3" in report.read_text()
    assert simulate("list", study).stdout.startswith("mine  Mine.\n    peers=2\n")
    study.write_text("x = (")
    wrong = simulate(study)
    assert str(wrong.exception) == "my_study.py cannot be loaded: line 1: SyntaxError: '(' was never closed"


def test_what_cannot_be_saved_is_shown_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(result: Result, path: Path) -> None:
        raise ResultError(f"{path}: No space left on device")

    monkeypatch.setattr(Result, "save", full)
    done = simulate("quick", "--out", tmp_path / "x.json", "--report", tmp_path / "x.html")
    assert done.exit_code == 1
    assert "grown  3" in done.stdout
    assert done.stderr == f"p2psip: {tmp_path / 'x.json'}: No space left on device\n"
    assert (tmp_path / "x.html").exists()
    assert simulate("stopped", "--out", tmp_path / "x.json").stderr.endswith("virtual minutes; nothing was saved\n")


def test_the_help_of_everything_is_fast_because_nothing_is_loaded_for_it() -> None:
    code = (
        "import sys, p2psip.app.cli; "
        "print([name for name in sys.modules if name.split('.')[0] in ('simulations', 'matplotlib', 'dask', 'pyarrow', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
