"""Every workload and every hostile node at once: one seed, one trace, whatever the seed of Python's hashes."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from simulations.hostile.amplifier import amplify
from simulations.hostile.forger import Forger
from simulations.hostile.hoarder import BlackHole, Hoarder
from simulations.hostile.hostile import Gang
from simulations.hostile.poison import Conspirator, Inventor, Poisoner, eclipse, sybils
from simulations.hostile.silent import Dropper, Staler, Suppressor
from simulations.workloads.calls import Calls
from simulations.workloads.churn import Churn
from simulations.workloads.joins import flash_crowd
from simulations.workloads.moving import Moving
from simulations.workloads.restart import mass_restart
from simulations.workloads.sessions import absences, sessions
from tests.simulations.town import people_of, town

swarm = town(1, 8)
gang = Gang(swarm)
for kind in (Dropper, Suppressor, Staler, Poisoner, Inventor, Conspirator, Forger, Hoarder, BlackHole):
    gang.recruit(kind, 1)
amplify(gang)
sybils(Gang(swarm, "sybils"), bytes(20), 4)
eclipse(Gang(swarm, "eclipse"), people_of(swarm)[3], 4)
Churn(swarm, sessions(2.0), absences(2.0)).begin()
Calls(None, swarm, calling=0.5, attempts_per_hour=60.0).begin()
Moving(swarm, movers=0.5).begin()
flash_crowd(swarm, 4, 5.0)
mass_restart(swarm, 0.3)
swarm.world.run(20.0)
print(swarm.world.trace.hexdigest(), sorted(gang.deeds.items()))
"""


def test_one_seed_gives_one_trace() -> None:
    root = Path(__file__).parents[3]
    traces = []
    for hashes in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        traces.append(run.stdout)
    assert traces[0] == traces[1]
