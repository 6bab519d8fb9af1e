"""The overlay on loopback UDP, all nodes in one process: CPU of a request, a lookup, a store and a get.

The first lookups after the joins are measured apart: there most nodes meet for the first time, and check certificates and make
keys. Then all meet in WARM_UP lookups, as the nodes of a running network have. The peers run the same round with as
many nodes: `kademlia` (asyncio, in the project's own environment) and OpenDHT (C++, in the interpreter that
P2PSIP_BENCH_OPENDHT_PYTHON names). Every figure is CPU time of the whole process: both ends of each request, and every node
on the way. OpenDHT's threads also work while nobody asks; that share is measured and taken off.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import trio

from benchmarks.network import OVERLAY, Authority, introducer, overlay_of
from p2psip.app.node import settle_memory

NODES = 200
NODES_LARGE = 1_000
ROUNDS = 200
WARM_UP = 12_000
WARM_UP_LARGE = 2_000
REQUESTS = 2_000
PEER_VARIABLE = "P2PSIP_BENCH_OPENDHT_PYTHON"
PEER_SECONDS_MAX = 600.0

KADEMLIA_PROGRAM = """
import asyncio, gc, json, sys, time
from kademlia.network import Server
nodes, rounds, requests, warm_up = map(int, sys.argv[1:])
def port(server): return server.transport.get_extra_info("sockname")[1]
async def timed(work, count):
    begun, good = time.process_time(), 0
    for number in range(count):
        good += bool(await work(number))
    return (time.process_time() - begun) / count * 1e6, good
async def main():
    servers = [Server() for _ in range(nodes)]
    for server in servers:
        await server.listen(0, interface="127.0.0.1")
    for index, server in enumerate(servers[1:], 1):
        await server.bootstrap([("127.0.0.1", port(servers[0]))])
    one, other = servers[0], servers[1]
    address = ("127.0.0.1", port(other))
    found = {}
    async def request(n):
        return (await one.protocol.find_node(address, one.node.id, servers[n % nodes].node.id))[0]
    async def absent(n):
        return await servers[n % nodes].get(f"absent {n}") is None
    async def store(n):
        return await servers[n % nodes].set(f"key {n}", "x" * 300)
    async def get(n):
        return await servers[(n * 7 + 3) % nodes].get(f"key {n}") is not None
    found["request"] = await timed(request, requests)
    found["first"] = await timed(lambda n: absent(2_000_000 + n), rounds)
    for number in range(warm_up):
        await absent(1_000_000 + number)
    gc.collect()
    gc.freeze()
    for name, work in (("absent", absent), ("store", store), ("get", get)):
        found[name] = await timed(work, rounds)
    print(json.dumps(found))
    for server in servers:
        server.stop()
asyncio.run(main())
"""

OPENDHT_PROGRAM = """
import json, sys, time
import opendht as dht
nodes, rounds = map(int, sys.argv[1:])
runners = []
for number in range(nodes):
    runner = dht.DhtRunner()
    runner.run(ipv4="127.0.0.1", port=0)
    runners.append(runner)
for index, runner in enumerate(runners[1:], 1):
    runner.bootstrap("127.0.0.1", str(runners[index // 2].getBound().getPort()))
time.sleep(10)
begun = time.process_time()
time.sleep(3)
idle = (time.process_time() - begun) / 3
def timed(work):
    cpu, wall, good = time.process_time(), time.monotonic(), 0
    for number in range(rounds):
        good += bool(work(number))
    spent = time.process_time() - cpu - idle * (time.monotonic() - wall)
    return spent / rounds * 1e6, good
def key(n): return dht.InfoHash.get(f"key {n}")
def store(n): return runners[n % nodes].put(key(n), dht.Value(b"x" * 300))
def absent(n): return not runners[n % nodes].get(dht.InfoHash.get(f"absent {n}"))
def get(n): return runners[(n * 7 + 3) % nodes].get(key(n))
print(json.dumps({"absent": timed(absent), "store": timed(store), "get": timed(get)}))
sys.stdout.flush()
import os; os._exit(0)
"""


def measure() -> list[dict[str, Any]]:
    """Rows of the table: CPU microseconds; failures as counts."""
    ours = trio.run(_round, NODES, WARM_UP)
    kademlia = _kademlia(NODES, WARM_UP)
    opendht_python = os.environ.get(PEER_VARIABLE)
    opendht = {}
    if opendht_python:
        opendht = _peer([opendht_python, "-c", OPENDHT_PROGRAM, str(NODES), str(ROUNDS)])
    else:
        print(f"OpenDHT is left out: set {PEER_VARIABLE} to a Python that has it", file=sys.stderr)
    at = f"N = {NODES}"
    rows = [
        _row("request, sealed both ways, both sides", ours, "request", "kademlia (in clear)", kademlia, "ratio <= 0.5"),
        _row(f"lookup of an absent key, {at}", ours, "absent", "kademlia", kademlia, "ratio <= 0.25"),
        _row(f"lookup of an absent key, {at}, first meetings", ours, "first", "kademlia", kademlia, ""),
        _row(f"store, {at}", ours, "store", "kademlia", kademlia, "ratio <= 0.25"),
        _row(f"get, {at}", ours, "get", "kademlia", kademlia, ""),
        _row(f"lookup of an absent key, {at}", ours, "absent", "OpenDHT", opendht, ""),
        _row(f"store, {at}", ours, "store", "OpenDHT", opendht, ""),
        _row(f"get, {at}", ours, "get", "OpenDHT", opendht, "ratio <= 1"),
    ]
    large = trio.run(_round, NODES_LARGE, WARM_UP_LARGE)
    large_kademlia = _kademlia(NODES_LARGE, WARM_UP_LARGE)
    rows.append(_failures(f"failed gets of {ROUNDS}, N = {NODES_LARGE}", large, large_kademlia))
    rows.append(_row(f"get, N = {NODES_LARGE}", large, "get", "kademlia", large_kademlia, ""))
    return rows


def _kademlia(nodes: int, warm_up: int) -> dict[str, Any]:
    numbers = (nodes, ROUNDS, REQUESTS, warm_up)
    return _peer([sys.executable, "-c", KADEMLIA_PROGRAM, *map(str, numbers)])


def _row(name: str, ours: dict[str, Any], key: str, peer: str, theirs: dict[str, Any], goal: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": ours[key][0], "unit": "µs CPU", "peer": peer, "goal": goal}
    if theirs:
        row["peer_value"] = theirs[key][0]
        row["ratio"] = ours[key][0] / theirs[key][0]
    return row


def _failures(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    missed, peer_missed = ROUNDS - ours["get"][1], ROUNDS - theirs["get"][1]
    return {"name": name, "value": missed, "unit": "", "peer": "kademlia", "peer_value": peer_missed, "goal": "0"}


def _peer(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PEER_SECONDS_MAX)
    if done.returncode != 0:
        raise SystemExit(f"the peer of this benchmark failed: {done.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


async def _round(count: int, warm_up: int) -> dict[str, tuple[float, int]]:
    """CPU microseconds and successes of each kind of work among `count` nodes."""
    async with overlay_of(Authority(), 2) as (one, other):
        await other.join([introducer(one)])

        async def request(number: int) -> bool:
            return (await one.find(f"nobody{number}@{OVERLAY}")).messages == 1

        found = {"request": await _timed(request, REQUESTS)}
    async with overlay_of(Authority(), count) as services:
        for index, service in enumerate(services[1:], 1):
            await service.join([introducer(services[index // 2])])

        async def absent(number: int) -> bool:
            return not (await services[number % count].find(f"absent{number}@{OVERLAY}")).registrations

        async def store(number: int) -> bool:
            return await services[number].publish([f"user{number}@{OVERLAY}"]) > 0

        async def get(number: int) -> bool:
            return bool((await services[(number * 7 + 3) % count].find(f"user{number}@{OVERLAY}")).registrations)

        found["first"] = await _timed(lambda number: absent(2_000_000 + number), ROUNDS)
        for number in range(warm_up):
            await absent(1_000_000 + number)
        settle_memory()
        for name, work in (("absent", absent), ("store", store), ("get", get)):
            found[name] = await _timed(work, min(ROUNDS, count))
    return found


async def _timed(work: Any, count: int) -> tuple[float, int]:
    begun, good = time.process_time(), 0
    for number in range(count):
        good += await work(number)
    return (time.process_time() - begun) / count * 1e6, good
