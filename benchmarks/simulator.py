"""The simulator: messages per CPU second, memory per peer, virtual over real time, beside a bare heap and kademlia's parts.

Sealed: real X25519 and ChaCha20-Poly1305, the secret of a pair derived once. Stand-in: `simulations.sealing.StandInSealing`. Each
load is a process of its own. kademlia's row: the lookups of `simulations.referee` on the same virtual network, their CPU for one.
"""

import json
import subprocess
import sys
import time
from typing import Any

from p2psip.base.chance import Chance
from simulations.network.plain import PlainNetwork
from simulations.referee.contest import Contest, draw_contest
from simulations.referee.ours import play_ours
from simulations.referee.theirs import play_theirs
from simulations.run import Run, run_scenario
from simulations.scenarios import everyday

SECONDS_MAX = 5_400.0
HEAP_EVENTS = 2_000_000
SETTLED = ((1_000, 300.0), (10_000, 60.0), (50_000, 20.0))
HOUR_PEERS = 10_000
HOUR_MEASURED_SECONDS = 600.0
STANDARD = {"peers": 200, "minutes": 2.0}
LOOKUPS = 1_000
PEERS = 150


def measure() -> list[dict[str, Any]]:
    """Rows of the table."""
    floor = _load("heap", HEAP_EVENTS, 0.0, "none")["events_per_second"]
    rows = [{"name": "bare heap loop: events", "value": floor, "unit": "1/s"}]
    for sealing, goal in (("real", ">= 30 000"), ("stand-in", ">= 60 000")):
        rows += _speed(1_000, 300.0, sealing, goal, floor)
    for peers, seconds in SETTLED[1:]:
        rows += _speed(peers, seconds, "stand-in", "", floor)
    return [*rows, *_hour(), *_lookups(), _standard()]


def _speed(peers: int, seconds: float, sealing: str, goal: str, floor: float) -> list[dict[str, Any]]:
    found = _load("settled", peers, seconds, sealing)
    name = f"{peers} settled peers, {'sealed' if sealing == 'real' else 'stand-in cipher'}"
    rate = found["messages_per_cpu_second"]
    return [
        _row(f"{name}: messages per CPU second", rate, "1/s", goal, peer="bare heap", peer_value=floor),
        _row(f"{name}: virtual over CPU time", found["virtual_over_cpu"], "times"),
        _row(f"{name}: memory a peer", found["kilobytes_per_peer"], "KB", "<= 40" if sealing != "real" else ""),
        _row(f"{name}: contacts of a peer", found["contacts"]),
        _row(f"{name}: CPU of all joins", found["growing_cpu_seconds"], "s"),
    ]


def _hour() -> list[dict[str, Any]]:
    found = _load("churn", HOUR_PEERS, HOUR_MEASURED_SECONDS, "stand-in")
    minutes = 3_600 / found["virtual_over_cpu"] / 60
    name = f"a virtual hour of {HOUR_PEERS} churning peers (reckoned from {HOUR_MEASURED_SECONDS / 60:g} minutes)"
    return [
        _row(name, minutes, "min CPU", "<= 10"),
        _row("in it: messages per peer and second", found["messages_per_peer_second"], "1/s"),
        _row("in it: memory a peer", found["kilobytes_per_peer"], "KB", "<= 40"),
    ]


def _lookups() -> list[dict[str, Any]]:
    """The CPU of one lookup with all that it causes: LOOKUPS of them more, in the same contest, less none of them."""
    chance = Chance.seeded(1)
    played = {
        count: draw_contest(chance, peers=PEERS, crash_share=0.0, lookups=count, absent=0) for count in (0, LOOKUPS)
    }
    ours = _difference(_ours, played)
    theirs = _difference(_theirs, played)
    return [_row("one lookup of a live key, all nodes' CPU", ours, "ms", peer="kademlia", peer_value=theirs)]


def _difference(play: Any, played: dict[int, Contest]) -> float:
    seconds = {}
    for count, contest in played.items():
        begun = time.process_time()
        play(contest)
        seconds[count] = time.process_time() - begun
    return 1_000 * (seconds[LOOKUPS] - seconds[0]) / LOOKUPS


def _ours(contest: Contest) -> None:
    run = Run("benchmark", 1, sealing="stand-in")
    play_ours(contest, run, run.swarm(network=PlainNetwork(Chance.seeded(1))))


def _theirs(contest: Contest) -> None:
    play_theirs(contest, PlainNetwork(Chance.seeded(1)), Chance.seeded(1))


def _standard() -> dict[str, Any]:
    result = run_scenario(everyday.QUIET, STANDARD, 1, sealing="stand-in")
    return _row(f"trace of the scenario lookups, {STANDARD['peers']} peers, seed 1", result.trace_hash)


def _load(what: str, peers: int, seconds: float, sealing: str) -> dict[str, float]:
    program = [sys.executable, "-m", "benchmarks.simulator_load", what, str(peers), str(seconds), sealing]
    done = subprocess.run(program, capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _row(
    name: str, value: Any, unit: str = "", goal: str = "", *, peer: str = "", peer_value: float | None = None
) -> dict[str, Any]:
    ratio = value / peer_value if peer_value and isinstance(value, float) else None
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "goal": goal,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
    }
