"""The same small overlay of our nodes and of unmodified kademlia, a fifth of them crashed: success, requests and time of lookups.

Both run on virtual time in the same network model (`simulations.referee`), 80 ms from node to node and back, without loss; the
same nodes crash, and the same nodes ask. `p2psip simulate referee` runs it with other sizes.
"""

from typing import Any

from simulations.run import run_scenario
from simulations.scenarios.referee import TABLE

SEED = 1
GOALS = {"live key: right answers": ">= kademlia's"}


def measure() -> list[dict[str, Any]]:
    """Rows of the table."""
    result = run_scenario("referee", {}, SEED)
    return [_row(str(row["what"]), row) for row in result.tables[TABLE]]


def _row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    ours, theirs = row["p2psip"], row["kademlia"]
    goal = next((goal for begin, goal in GOALS.items() if name.startswith(begin)), "")
    ratio = ours / theirs if ours is not None and theirs else None
    shown = {"name": name, "unit": row["unit"], "peer": "kademlia", "goal": goal, "ratio": ratio}
    return {**shown, "value": ours, "peer_value": theirs}
