"""The compiled copy: the same runs to the byte, and nothing that was edited is hidden by it."""

import re
import subprocess
from pathlib import Path

import pytest

import simulations.scenarios  # noqa: F401 - registers them
from p2psip.base.errors import LocalError
from simulations.compiled import copy_compiled, modules
from simulations.run import run_scenario

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = [
    ("churn", {"peers": 60, "minutes": 2.0}),
    ("hostile", {"peers": 60, "minutes": 1.0, "share": 0.2}),
    ("partition", {"peers": 40}),
    ("village", {"households": 6, "calls": 4}),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that runs the copy, compiled in haste."""
    return copy_compiled(ROOT, tmp_path_factory.mktemp("compiled") / "copy", optimisation="0")


def test_what_is_compiled_exists() -> None:
    names = modules(ROOT)
    assert len(names) > 60
    assert all((ROOT / name).is_file() for name in names)
    assert {"overlay/peer.py", "simulations/world.py", "simulations/network/internet.py"} <= set(names)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    with pytest.raises(LocalError, match="is no compiled copy"):
        copy_compiled(ROOT, tmp_path)
    assert kept.read_text() == "mine"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_has_the_same_trace_when_it_is_compiled(compiled: Path) -> None:
    where = "import overlay.peer, simulations.world as w; print(overlay.peer.__file__, w.__file__)"
    files = subprocess.run([compiled, "-c", where], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert all(name.endswith(".so") and name.startswith(str(compiled.parent)) for name in files)
    for scenario, parameters in RUNS:
        settings = [f"--set={name}={value}" for name, value in parameters.items()]
        command = [compiled, "-m", "p2psip.app", "simulate", scenario, *settings]
        printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
        expected = run_scenario(scenario, parameters, 1)
        assert re.findall(r"(?m)^trace (.*)$", printed) == [expected.trace_hash], scenario
