"""The documents of the simulator: the researcher's example runs and is shown as it is, and the sweeps can be run."""

import re
import runpy
from pathlib import Path

import pytest

import simulations.scenarios
from simulations.run import run_scenario
from simulations.studies import load_studies
from simulations.sweep.plan import check_points, read_plan
from simulations.sweep.work import read_studies

DOCS = Path(__file__).resolve().parents[2] / "docs"
SWEEPS = sorted([*DOCS.glob("sweeps/*.toml"), *DOCS.glob("examples/*.toml")])


def test_the_example_runs_and_shows_what_it_is_about() -> None:
    runpy.run_path(str(DOCS / "examples" / "my_study.py"))
    result = run_scenario("misers", {"peers": 30, "share": 0.2, "minutes": 1}, 1)
    assert [check.name for check in result.checks] == ["patience"]
    assert result.passed
    figures = {figure.name: figure.value for figure in result.figures}
    assert figures["lookups that succeed"] == pytest.approx(100, abs=5)
    kept_back = figures["records kept back"]
    assert isinstance(kept_back, int)
    assert kept_back > 0


@pytest.mark.parametrize(("kind", "name"), [("python", "my_study.py"), ("toml", "my_sweep.toml")])
def test_the_document_shows_the_files_as_they_are(kind: str, name: str) -> None:
    shown = re.findall(rf"^```{kind}\n(.*?)^```$", (DOCS / "simulation.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown == [(DOCS / "examples" / name).read_text()]


def test_every_file_that_the_document_names_is_there() -> None:
    named = re.findall(r"`((?:simulations|overlay|docs)/[\w/.]+)`", (DOCS / "simulation.md").read_text())
    assert len(named) > 10
    assert [name for name in named if not (DOCS.parent / name).exists()] == []


@pytest.mark.parametrize("file", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_that_is_shipped_can_be_run(file: Path) -> None:
    assert simulations.scenarios.__all__
    plan = read_plan(file)
    load_studies(read_studies(plan))
    check_points(plan.points())
