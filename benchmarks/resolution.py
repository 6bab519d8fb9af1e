"""From a number to a server by ENUM, NAPTR, SRV and addresses, cold and from memory; beside dnspython's own resolver.

Both ask the same Knot on loopback the same five questions, one number after the other; cold means with an empty memory. CPU is this
process's own, so the server's is not in it. dnspython's resolver knows neither ENUM nor RFC 3263: the peer asks the same
questions in a row and leaves out what orders and rewrites.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import dns.e164
import dns.exception
import dns.name
import dns.resolver
import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.naming.enum import enumerate_number
from p2psip.naming.locating import Destination, Reach, locate
from p2psip.net.clock import Clock
from p2psip.net.dns import DnsClient

PROGRAM = shutil.which("knotd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
PORT = 15_353
ROUNDS = 5
COLD, CACHED = 60, 600
NUMBER = "+493012345"
ZONE = r"""$ORIGIN bench.test.
$TTL 300
@ SOA ns admin 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
5.4.3.2.1.0.3.9.4 NAPTR 100 10 "u" "E2U+sip" "!^\\+49(.*)$!sip:\\1@bench.test!" .
@ NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp
_sip._udp SRV 10 60 5060 one
_sip._udp SRV 10 40 5060 one
one A 192.0.2.1
one AAAA 2001:db8::1
"""
SETTINGS = """server:
    rundir: "{folder}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: "{folder}"
zone:
  - domain: bench.test.
    storage: "{folder}"
    file: "zone"
    zonefile-sync: -1
    journal-content: none
"""
CACHED_MILLISECONDS_GOAL = 0.2

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one resolution, in milliseconds."""

    cpu: float
    wall: float


def measure() -> list[Row]:
    """The rows of `make bench`."""
    if PROGRAM is None:
        return [{"name": "ENUM and SRV", "peer": "knotd is not installed: no figure"}]
    with _knot() as server:
        ours = trio.run(_ours, server)
        theirs = _theirs(server)
    peer = "dnspython dns.resolver"
    goal = f"<= {CACHED_MILLISECONDS_GOAL:g} ms"
    return [
        _row("number to servers, cold: CPU", ours["cold"].cpu, peer, theirs["cold"].cpu, ""),
        _row("number to servers, cold: time", ours["cold"].wall, peer, theirs["cold"].wall, ""),
        _row("number to servers, from memory: CPU", ours["cached"].cpu, peer, theirs["cached"].cpu, goal),
    ]


async def _ours(server: Address) -> dict[str, _Cost]:
    client = DnsClient([server], clock=Clock(), chance=Chance.seeded(1))
    reach, chance = Reach(("udp",)), Chance.seeded(2)

    async def resolve() -> None:
        found = await client.run(enumerate_number(NUMBER, "bench.test"))
        host = found.found[0].uri.rpartition("@")[2]
        located = await client.run(locate(Destination(host), reach, chance))
        if len(located.hops) != 2:
            raise AssertionError(located)

    costs: dict[str, list[_Cost]] = {"cold": [], "cached": []}
    for _ in range(ROUNDS):
        for kind, count in (("cold", COLD), ("cached", CACHED)):
            await resolve()
            cpu, wall = time.process_time(), time.perf_counter()
            for _number in range(count):
                if kind == "cold":
                    client.cache.clear()
                await resolve()
            costs[kind].append(_cost(cpu, wall, count))
    return _medians(costs)


def _theirs(server: Address) -> dict[str, _Cost]:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server[0]], server[1]
    name = dns.e164.from_e164(NUMBER, origin=dns.name.from_text("bench.test."))

    def resolve() -> None:
        resolver.resolve(name, "NAPTR")
        resolver.resolve("bench.test.", "NAPTR")
        targets = resolver.resolve("_sip._udp.bench.test.", "SRV")
        for kind in ("AAAA", "A"):
            resolver.resolve(targets[0].target, kind)

    costs: dict[str, list[_Cost]] = {"cold": [], "cached": []}
    for _ in range(ROUNDS):
        for kind, count in (("cold", COLD), ("cached", CACHED)):
            resolver.cache = dns.resolver.LRUCache() if kind == "cached" else None
            costs[kind].append(_timed(resolve, count))
    return _medians(costs)


def _timed(resolve: Callable[[], None], count: int) -> _Cost:
    resolve()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        resolve()
    return _cost(cpu, wall, count)


def _cost(cpu: float, wall: float, count: int) -> _Cost:
    return _Cost(1e3 * (time.process_time() - cpu) / count, 1e3 * (time.perf_counter() - wall) / count)


def _medians(costs: dict[str, list[_Cost]]) -> dict[str, _Cost]:
    return {
        kind: _Cost(median(each.cpu for each in found), median(each.wall for each in found))
        for kind, found in costs.items()
    }


def _row(name: str, value: float, peer: str, other: float, goal: str) -> Row:
    row = {"name": name, "value": value, "unit": "ms", "peer": peer, "peer_value": other, "goal": goal}
    return row | {"ratio": value / other}


@contextmanager
def _knot() -> Iterator[Address]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "zone").write_text(ZONE)
        settings = Path(folder, "knot.conf")
        settings.write_text(SETTINGS.format(folder=folder, port=PORT))
        with subprocess.Popen([str(PROGRAM), "-c", str(settings)], stderr=subprocess.DEVNULL) as process:
            try:
                _wait_answer(("127.0.0.1", PORT))
                yield ("127.0.0.1", PORT)
            finally:
                process.terminate()


def _wait_answer(server: Address) -> None:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server[0]], server[1]
    deadline = time.monotonic() + 10
    while True:
        try:
            resolver.resolve("bench.test.", "SOA", lifetime=0.5)
            return
        except dns.exception.DNSException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
