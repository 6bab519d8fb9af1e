"""The scenario of a village, small, from the registry to the tables."""

import runpy
from pathlib import Path

import simulations.scenarios  # noqa: F401 - registers
from simulations.run import run_scenario


def test_a_small_village_is_a_result() -> None:
    told: list[float] = []
    wanted = {"households": 8, "calls": 4, "talk_seconds": 4.0}
    result = run_scenario("village", wanted, 5, watcher=lambda progress: told.append(progress.done))
    assert [(check.name, check.passed) for check in result.checks] == [("phone-calls", True)], result.checks
    calls, nodes = result.tables["calls"], result.tables["nodes"]
    assert len(nodes) == 8
    assert calls
    assert {"t", "caller", "callee", "nat", "callee_nat", "outcome", "cause", "setup_seconds", "way"} <= set(calls[0])
    assert {"node", "position", "role", "nat", "up_seconds", "sent_bytes", "bytes_per_second"} <= set(nodes[0])
    assert told == sorted(told)
    assert result.messages > 100
    assert len(result.trace_hash) == 32


def test_the_example_of_the_documents_runs() -> None:
    example = Path(__file__).resolve().parents[3] / "docs" / "examples" / "my_village.py"
    village = runpy.run_path(str(example))["main"]()
    assert [(call.outcome, call.way, call.relays) for call in village.calls] == [("answered", "relayed", 1)] * 2
