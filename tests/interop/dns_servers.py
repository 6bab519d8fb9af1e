"""Real DNS servers on loopback for one test: Knot with zones that the test writes, and Unbound that validates them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.message
import dns.query
import dns.rdatatype
import dns.zone
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from p2psip.base.core import Address
from tests.interop.programs import free_port, program

SECONDS_MAX = 20.0
HEAD = """$ORIGIN {zone}.
$TTL 300
@ SOA ns.{zone}. admin.{zone}. 1 3600 600 86400 60
@ NS ns.{zone}.
ns A 127.0.0.1
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """`knot` has the zones and asks nobody; `unbound` asks Knot for them and validates those that are signed."""

    knot: Address
    unbound: Address


@asynccontextmanager
async def dns_servers(
    folder: Path, zones: Mapping[str, str], *, signed: tuple[str, ...] = (), spoilt: str | None = None
) -> AsyncIterator[Servers]:
    """Serve `zones` (name to records). Knot signs those `signed`; `spoilt` is signed here, then changed."""
    knot, unbound = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    folder.chmod(0o755)
    for name, records in zones.items():
        text = HEAD.format(zone=name) + records
        (folder / f"{name}.zone").write_text(text if name != spoilt else _spoil(name, text))
    (folder / "knot.conf").write_text(_knot_settings(folder, knot[1], zones, signed))
    async with trio.open_nursery() as nursery:
        await _start(nursery, [program("knotd"), "-c", str(folder / "knot.conf")], folder, knot, next(iter(zones)))
        anchors = [await _anchor(knot, name) for name in (*signed, *([spoilt] if spoilt else []))]
        (folder / "unbound.conf").write_text(_unbound_settings(folder, unbound[1], knot[1], zones, anchors))
        command = [program("unbound"), "-d", "-c", str(folder / "unbound.conf")]
        await _start(nursery, command, folder, unbound, next(iter(zones)))
        yield Servers(knot, unbound)
        nursery.cancel_scope.cancel()


def _knot_settings(folder: Path, port: int, zones: Mapping[str, str], signed: tuple[str, ...]) -> str:
    rundir, database = folder / "run", folder / "database"
    rundir.mkdir()
    database.mkdir()
    lines = [f'server:\n    rundir: "{rundir}"\n    listen: 127.0.0.1@{port}\n    udp-workers: 1\n    tcp-workers: 2']
    lines += ["    background-workers: 1", "log:\n  - target: stderr\n    any: warning"]
    lines += [
        f'database:\n    storage: "{database}"',
        f'template:\n  - id: default\n    storage: "{folder}"',
    ]
    lines.append("    zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\nzone:")
    for name in zones:
        signing = "on" if name in signed else "off"
        lines.append(f'  - domain: {name}.\n    file: "{name}.zone"\n    dnssec-signing: {signing}')
    return "\n".join(lines) + "\n"


def _unbound_settings(folder: Path, port: int, knot: int, zones: Mapping[str, str], anchors: list[str]) -> str:
    lines = [f'server:\n interface: 127.0.0.1\n port: {port}\n do-ip6: no\n num-threads: 1\n directory: "{folder}"']
    lines += [
        ' chroot: ""',
        ' username: ""',
        ' pidfile: ""',
        " use-syslog: no",
        " do-not-query-localhost: no",
        " ede: yes",
    ]
    lines += [' local-zone: "test." nodefault', ' module-config: "validator iterator"', " edns-buffer-size: 1232"]
    lines += [f' trust-anchor: "{anchor}"' for anchor in anchors]
    for name in (*zones, "nobody.test"):
        lines.append(f'stub-zone:\n name: "{name}."\n stub-addr: 127.0.0.1@{knot}\n stub-no-cache: no')
    lines.append("remote-control:\n control-enable: no")
    return "\n".join(lines) + "\n"


async def _start(nursery: trio.Nursery, command: list[str], folder: Path, server: Address, name: str) -> None:
    log = folder / f"{Path(command[0]).name}.log"

    async def run() -> None:
        with log.open("wb") as file:
            await trio.run_process(command, cwd=folder, stdout=file, stderr=file, check=False)
        raise AssertionError(f"{command[0]} has ended: {log.read_text(errors='replace')[-2000:]}")

    nursery.start_soon(run)
    with trio.fail_after(SECONDS_MAX):
        await _wait_answer(server, name)


async def _wait_answer(server: Address, name: str) -> None:
    query = dns.message.make_query(name + ".", "SOA")
    while True:
        try:
            found = await trio.to_thread.run_sync(lambda: dns.query.udp(query, server[0], port=server[1], timeout=0.3))
        except (OSError, dns.exception.DNSException):
            await trio.sleep(0.05)
            continue
        if found.answer:
            return
        await trio.sleep(0.05)


async def _anchor(server: Address, name: str) -> str:
    """The key that signs a zone's keys, as a trust anchor."""
    query = dns.message.make_query(name + ".", "DNSKEY", want_dnssec=True)
    with trio.fail_after(SECONDS_MAX):
        while True:
            found = await trio.to_thread.run_sync(lambda: dns.query.tcp(query, server[0], port=server[1], timeout=2))
            keys = [key for rrset in found.answer if rrset.rdtype == dns.rdatatype.DNSKEY for key in rrset]
            if keys:
                return next(f"{name}. DNSKEY {key.to_text()}" for key in keys if key.flags & 1)
            await trio.sleep(0.05)


def _spoil(name: str, text: str) -> str:
    """The zone signed, and then one address changed: what a liar on the way would do."""
    zone = dns.zone.from_text(text, name + ".", relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
    dns.dnssec.sign_zone(zone, keys=[(private, key)], add_dnskey=True, dnskey_ttl=300, lifetime=86_400)
    signed = zone.to_text(relativize=False, want_origin=False)
    assert "192.0.2.66" in signed
    return signed.replace("192.0.2.66", "192.0.2.99")
