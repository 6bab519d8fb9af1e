"""The network of simulations: CPU time of a datagram (sent and delivered) and memory of a place in it."""

import gc
import time
import tracemalloc
from typing import Any

from p2psip.base.chance import Chance
from simulations.network import nat
from simulations.network.endpoint import Endpoint
from simulations.network.internet import Internet
from simulations.network.model import Network
from simulations.network.plain import PlainNetwork

HOSTS = 1_000
PLACES = 5_000
ROUNDS = 20
MICROSECONDS_MAX, BYTES_MAX = 2.5, 1_024
BYTES = 120
SPACING_SECONDS = 0.001


def measure() -> list[dict[str, Any]]:
    """Rows of the table; of the rounds the fastest counts, for others run on the same machine."""
    root = Chance.seeded(1)
    internet = Internet(root.child("network"))
    plain = PlainNetwork(root.child("network"))
    goal = f"<= {MICROSECONDS_MAX}"
    return [
        _row("a datagram between public hosts", _exchange(internet, nat.PUBLIC), "us", goal),
        _row("a datagram to or from a home NAT", _exchange(internet, nat.PORT_RESTRICTED), "us", ""),
        _row("a datagram on the plain network", _exchange(plain, nat.PUBLIC), "us", ""),
        _row("a public host", _place(root, nat.PUBLIC), "bytes", f"<= {BYTES_MAX}"),
        _row("a host of the surveyed population", _place(root, None), "bytes", f"<= {BYTES_MAX}"),
    ]


def _row(name: str, value: float, unit: str, goal: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "goal": goal}


def _exchange(network: Network, kind: nat.NatKind) -> float:
    """Microseconds a datagram, when hosts behind `kind` ask public ones and are answered."""
    chance = Chance.seeded(2)
    askers = [network.endpoint(number, chance, nat=kind) for number in range(HOSTS)]
    servers = [network.endpoint(number, chance, nat=nat.PUBLIC) for number in range(HOSTS)]
    return min(_round(network, askers, servers, 3_600.0 * number) for number in range(1, ROUNDS)) * 1e6


def _round(network: Network, askers: list[Endpoint], servers: list[Endpoint], now: float) -> float:
    route, deliver = network.route, network.deliver
    started, sent = time.process_time(), 0
    for asker, server in zip(askers, servers, strict=True):
        now += SPACING_SECONDS
        sent += 1
        for there, seen in route(now, asker, server.address, BYTES):
            deliver(there, server.address, seen)
            sent += 1
            for back, source in route(now, server, seen, BYTES):
                deliver(back, seen, source)
    return (time.process_time() - started) / sent


def _place(root: Chance, kind: nat.NatKind | None) -> float:
    network = Internet(root.child("places"))
    gc.collect()
    tracemalloc.start()
    places = [network.endpoint(number, root.child(f"place {number}"), nat=kind) for number in range(PLACES)]
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / len(places)
