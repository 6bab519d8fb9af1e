"""The scenarios of the README's table: every figure of each, with seed 1, and what its checkers found.

Networks of thousands take up to hours; they are run only if P2PSIP_BENCH_LARGE is set.
"""

import os
from typing import Any

import simulations.scenarios  # noqa: F401  (registers the scenarios of the project)
from simulations.run import run_scenario

SEED = 1
SHORT_SESSIONS = {"session_minutes": 20.0, "absence_minutes": 20.0}
SCENARIOS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("churn", {"peers": 500, "minutes": 20.0}),
    ("churn", {"peers": 500, "minutes": 20.0, **SHORT_SESSIONS}),
    ("lookups", {"peers": 1_000, "minutes": 3.0}),
    ("hostile", {"peers": 300, "minutes": 4.0}),
    ("sybil", {"peers": 300, "minutes": 6.0}),
    ("eclipse", {"peers": 100, "identities": 60}),
    ("mass-restart", {"peers": 300}),
    ("supernode-collapse", {"peers": 300}),
    ("partition", {"peers": 100}),
    ("flash-crowd", {"peers": 60, "newcomers": 180}),
    ("hoarding", {"peers": 100, "hoarders": 12}),
    ("amplification", {"peers": 60, "minutes": 3.0}),
    ("day", {"peers": 60, "minutes": 20.0}),
    ("village", {}),
    ("village-pairs", {}),
    ("referee", {}),
)
LARGE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("churn", {"peers": 10_000, "minutes": 10.0, **SHORT_SESSIONS}),
    ("churn", {"peers": 10_000}),
)


def measure() -> list[dict[str, Any]]:
    """Rows of the table."""
    wanted = SCENARIOS + (LARGE if os.environ.get("P2PSIP_BENCH_LARGE") else ())
    return [row for name, parameters in wanted for row in _rows(name, parameters)]


def _rows(name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    result = run_scenario(name, parameters, SEED)
    command = " ".join([name, *(f"{parameter}={value:g}" for parameter, value in parameters.items())])
    rows: list[dict[str, Any]] = [
        {"name": f"{command}: {figure.name}", "value": figure.value, "unit": figure.unit, "goal": figure.goal}
        for figure in result.figures
    ]
    failed = "; ".join(f"{check.name}: {check.detail}" for check in result.checks if not check.passed)
    rows.append({"name": f"{command}: checks that fail", "value": failed or "none"})
    rows.append({"name": f"{command}: CPU", "value": result.cpu_seconds, "unit": "s"})
    return rows
