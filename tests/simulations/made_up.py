"""A made-up result with every table, drawn from a seed: for the tests of reports, comparisons and the command line."""

import math

from p2psip.base.chance import Chance
from simulations.results import Check, Figure, Result, Row
from simulations.world import START_SECONDS

NATS = ("public", "full-cone", "port-restricted", "symmetric", "udp-blocked")


def made_up(peers: int = 60, seed: int = 7, *, slow: float = 1.0) -> Result:
    """A result as a run of `peers` peers might leave it; `slow` stretches its lookups."""
    chance = Chance.seeded(seed)
    return Result(
        scenario="churn",
        seed=seed,
        commit="abc1234",
        version="0.1.0",
        parameters={"peers": peers, "minutes": 60.0, "session_minutes": 20.0, "nat": "survey <b>"},
        virtual_seconds=3600.0,
        cpu_seconds=401.2,
        wall_seconds=433.0,
        peak_memory_bytes=812_000_000,
        messages=12_345_678,
        trace_hash="5f" * 16,
        figures=[
            Figure("lookups of live registrations found", 0.9962, "share", "at least 0.995", True),
            Figure("round trips, 95 % of lookups", 4.3 * slow, "round trips", "at most 4", False),
            Figure("datagrams per CPU second", 30772.0, "1/s"),
        ],
        checks=[
            Check("no forged record is held", True),
            Check("a live registration is found", False, "u17@sim.example was not found by node 12 <&>"),
        ],
        tables={
            "lookups": [_lookup(chance, place, peers, slow) for place in range(peers * 4)],
            "calls": [_call(chance, place, peers) for place in range(peers * 4)],
            "nodes": [_node(chance, place, peers) for place in range(peers)],
            "minutes": [_minute(chance, place, peers) for place in range(60)],
        },
    )


def ladder() -> list[Row]:
    """The datagrams of one lookup."""
    return [
        {"t": 0.0, "from": "node 3", "to": "node 17", "what": "find_value", "bytes": 212, "lost": False},
        {"t": 0.0, "from": "node 3", "to": "node 40", "what": "find_value", "bytes": 212, "lost": True},
        {"t": 0.081, "from": "node 17", "to": "node 3", "what": "answer: 8 nodes", "bytes": 601, "lost": False},
        {"t": 0.082, "from": "node 3", "to": "node <5>", "what": "find_value", "bytes": 212, "lost": False},
        {"t": 0.19, "from": "node <5>", "to": "node 3", "what": "answer: 1 record", "bytes": 933, "lost": False},
    ]


def _lookup(chance: Chance, place: int, peers: int, slow: float) -> Row:
    seconds = 0.08 * slow * math.exp(-math.log(1 - chance.uniform(0, 1)) * 0.7)
    return {
        "t": START_SECONDS + place * 3600.0 / (peers * 4),
        "number": place + 1,
        "node": int(chance.uniform(0, peers)),
        "target": int(chance.uniform(0, peers)),
        "live": chance.uniform(0, 1) < 0.9,
        "found": chance.uniform(0, 1) < 0.985,
        "stale": False,
        "cached": chance.uniform(0, 1) < 0.1,
        "seconds": seconds,
        "round_trips": seconds / 0.08,
        "hops": min(7, 1 + int(-math.log(1 - chance.uniform(0, 1)) * 1.4)),
        "messages": 6,
        "nat": NATS[place % 5],
        "target_nat": NATS[place % 3],
    }


def _call(chance: Chance, place: int, peers: int) -> Row:
    caller, callee = NATS[int(chance.uniform(0, 5))], NATS[int(chance.uniform(0, 5))]
    hard = (caller == "symmetric") + (callee in ("symmetric", "port-restricted"))
    way = (
        "tls"
        if "udp-blocked" in (caller, callee)
        else "relayed"
        if hard > 1 or chance.uniform(0, 1) < 0.1
        else "direct"
    )
    way = "none" if chance.uniform(0, 1) < 0.02 else way
    return {
        "t": START_SECONDS + place,
        "caller": int(chance.uniform(0, peers)),
        "callee": int(chance.uniform(0, peers)),
        "nat": caller,
        "callee_nat": callee,
        "outcome": "answered" if way != "none" else "no-answer",
        "cause": "" if way != "none" else "no media within 40 s",
        "setup_seconds": None if way == "none" else 0.2 + 0.3 * chance.uniform(0, 1) + 0.4 * (way != "direct"),
        "way": way,
    }


def _node(chance: Chance, place: int, peers: int) -> Row:
    relayed = int(-math.log(1 - chance.uniform(0, 1)) * 40) if place % 10 == 0 else 0
    return {
        "node": place,
        "position": chance.uniform(0, 1),
        "role": "super-node" if place % 10 == 0 else "peer" if place % 3 else "client",
        "nat": NATS[place % 5],
        "hostile": place % 20 == 7,
        "up_seconds": 3600.0,
        "bytes_per_second": 60 * math.exp(3 * chance.uniform(0, 1)) + (0 if place % 3 else 20),
        "held": int(-math.log(1 - chance.uniform(0, 1)) * 9) if place % 3 else 0,
        "served": int(-math.log(1 - chance.uniform(0, 1)) * 900),
        "relayed": relayed,
    }


def _minute(chance: Chance, place: int, peers: int) -> Row:
    return {
        "minute": place,
        "alive": peers + int(chance.uniform(0, 20)),
        "joined": peers - int(chance.uniform(0, 10)),
        "joins": int(chance.uniform(0, 20)),
        "leaves": int(chance.uniform(0, 20)),
        "lookups": 40 + int(chance.uniform(0, 9)),
        "found": 39 + int(chance.uniform(0, 5)),
        "messages": 200_000 + int(chance.uniform(0, 9000)),
        "bytes": 30_000_000 + int(chance.uniform(0, 900_000)),
        "relays_in_use": int(chance.uniform(0, 15)),
    }
