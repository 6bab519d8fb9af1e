"""The time series of a run, minute by minute, and at its end what each node has done."""

from typing import Any

from overlay.reachability import Role
from simulations.lookups import LookedUp
from simulations.nodes import Node
from simulations.run import MINUTE, Run
from simulations.swarm import Swarm


class Minutes:
    """Records the table `minutes` from now on, and `nodes` when told."""

    def __init__(self, run: Run, swarm: Swarm) -> None:
        self._run = run
        self._swarm = swarm
        self._begun = run.now
        self._joins = self._leaves = self._lookups = self._found = 0
        self._messages, self._bytes = swarm.world.counters.sent, swarm.world.counters.bytes
        self._before = {node.number: (node.sent_bytes, node.received_bytes, node.sent) for node in swarm.nodes}
        run.listeners.append(self)
        swarm.world.every(MINUTE, self._minute)

    def observe(self, node: Node, event: Any, now: float) -> None:
        """Count."""
        if event == "started":
            self._joins += 1
        elif event in ("crashed", "left"):
            self._leaves += 1
        elif type(event) is LookedUp and event.live:
            self._lookups += 1
            self._found += event.found

    def _minute(self) -> None:
        swarm, counters = self._swarm, self._swarm.world.counters
        self._run.record(
            "minutes",
            minute=round((self._run.now - self._begun) / MINUTE),
            alive=len(swarm.alive),
            joined=sum(node.joined_at is not None for node in swarm.alive),
            joins=self._joins,
            leaves=self._leaves,
            lookups=self._lookups,
            found=self._found,
            messages=counters.sent - self._messages,
            bytes=counters.bytes - self._bytes,
            relays_in_use=sum(_flows_kept(node) for node in swarm.alive),
        )
        self._joins = self._leaves = self._lookups = self._found = 0
        self._messages, self._bytes = counters.sent, counters.bytes

    def record_nodes(self) -> None:
        """The table `nodes`: one row for each that is up, with what it has sent since this began."""
        now = self._run.now
        for node in self._swarm.alive:
            peer = node.core.peer
            sent, received, messages = self._before.get(node.number, (0, 0, 0))
            up = min(now - self._begun, now - node.started_at) or 1.0
            self._run.record(
                "nodes",
                node=node.number,
                position=node.position,
                role=_role(node),
                nat=node.endpoint.kind.name,
                hostile=node.hostile,
                up_seconds=round(now - node.started_at, 1),
                sent_bytes=node.sent_bytes - sent,
                received_bytes=node.received_bytes - received,
                bytes_per_second=round((node.sent_bytes - sent) / up, 1),
                messages=node.sent - messages,
                held=len(peer.store),
                contacts=len(peer.table),
                served=node.received - messages,
                relayed=_flows_kept(node),
            )


def _role(node: Node) -> str:
    if node.core.peer.crossing.relaying is not None:
        return "super-node"
    return "peer" if node.core.peer.reach.verdict.role is Role.PEER else "client"


def _flows_kept(node: Node) -> int:
    relaying = node.core.peer.crossing.relaying
    return 0 if relaying is None else len(relaying)
