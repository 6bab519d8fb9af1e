"""One load of the simulator in a process of its own, so that its memory is its own: prints figures as JSON.

`python -m benchmarks.simulator_load WHAT PEERS SECONDS SEALING`; WHAT is `settled` (a settled overlay, ten lookups a second),
`churn` (people come and go) or `heap` (a bare heap of as many events: the floor under any simulator of this kind).
"""

import gc
import heapq
import json
import resource
import sys
import time

from p2psip.base.chance import Chance
from simulations.lookups import Lookups
from simulations.network.internet import Internet
from simulations.run import Run
from simulations.swarm import Swarm
from simulations.workloads.churn import Churn
from simulations.workloads.looking import Looking
from simulations.workloads.sessions import absences, sessions

HEAP_PENDING = 20_000
LOOKUPS_PER_SECOND = 10.0
SESSION_MINUTES = 60.0


def main() -> int:
    """Run the load that the command line names."""
    what, peers, seconds, sealing = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    figures = _heap(peers) if what == "heap" else _swarm(what, peers, seconds, sealing)
    print(json.dumps(figures))
    return 0


def _heap(events: int) -> dict[str, float]:
    """Push and pop `events` datagrams among HEAP_PENDING others, with the delays that a network would draw."""
    draw = Chance.seeded(1).real
    heap = [(draw(), number, "host", b"data", "source") for number in range(HEAP_PENDING)]
    heapq.heapify(heap)
    begun = time.process_time()
    for number in range(HEAP_PENDING, HEAP_PENDING + events):
        now = heapq.heappop(heap)[0]
        heapq.heappush(heap, (now + draw(), number, "host", b"data", "source"))
    return {"events_per_second": events / (time.process_time() - begun)}


def _swarm(what: str, peers: int, seconds: float, sealing: str) -> dict[str, float]:
    before = _peak()
    run = Run("benchmark", 1, sealing=sealing)
    swarm = run.swarm(network=Internet(Chance.seeded(1).child("internet"), survey=None))
    begun = time.process_time()
    swarm.grow(peers)
    run.for_seconds(swarm.grown_at - run.now + 60.0)
    growing = time.process_time() - begun
    gc.collect()
    gc.freeze()
    if what == "churn":
        Churn(swarm, sessions(SESSION_MINUTES), absences(SESSION_MINUTES)).begin()
    lookups = Lookups(run, swarm)
    Looking(swarm, lookups, LOOKUPS_PER_SECOND).begin()
    messages, cpu = swarm.world.counters.sent, time.process_time()
    run.for_seconds(seconds)
    cpu, messages = time.process_time() - cpu, swarm.world.counters.sent - messages
    return {
        "messages_per_cpu_second": messages / cpu,
        "messages_per_peer_second": messages / seconds / peers,
        "virtual_over_cpu": seconds / cpu,
        "growing_cpu_seconds": growing,
        "kilobytes_per_peer": (_peak() - before) / peers,
        "contacts": _mean_contacts(swarm),
        "lookups": lookups.made,
    }


def _mean_contacts(swarm: Swarm) -> float:
    return sum(len(node.core.peer.table) for node in swarm.alive) / len(swarm.alive)


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    sys.exit(main())
