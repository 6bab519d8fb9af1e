"""ENUM, SRV and DNSSEC with real servers: Knot has the zones, Unbound validates, and each way to fail is really seen."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from p2psip.app.explaining import explain_here
from p2psip.app.local_network import LocalNetwork
from p2psip.app.quickcall import call_once
from p2psip.app.settings import load_settings
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.naming.enum import Enumeration, enumerate_number
from p2psip.naming.locating import Destination, Located, Reach, locate
from p2psip.naming.questions import Answer, Kind, Question
from p2psip.net.clock import Clock
from p2psip.net.dns import DnsClient
from tests.interop.dns_servers import Servers, dns_servers
from tests.interop.programs import free_port, program

pytestmark = pytest.mark.interop

NUMBER = "+493012345"
ENUM_ZONE = r"""
5.4.3.2.1.0.3.9.4 NAPTR 100 10 "u" "E2U+sip" "!^\\+49(.*)$!sip:\\1@good.test!" .
5.4.3.2.1.0.3.9.4 NAPTR 100 20 "u" "E2U+pstn:tel" "!^.*$!tel:\\0!" .
5.4.3.2.1.0.3.9.4 NAPTR 100 30 "u" "E2U+pstn:tel" "!^(.*)$!tel:\\1;npdi!" .
5.4.3.2.1.0.3.9.4 NAPTR 200 10 "u" "E2U+sip" "!^.*$!sip:never@good.test!" .
6.4.3.2.1.0.3.9.4 NAPTR 100 10 "" "" "" range.good.test.
7.4.3.2.1.0.3.9.4 NAPTR 100 10 "" "" "" 7.4.3.2.1.0.3.9.4.e164.test.
"""
ENUM_ZONE += "\n".join(
    f'8.4.3.2.1.0.3.9.4 NAPTR 100 {number} "u" "E2U+sip" "!^.*$!sip:a-rather-long-name-{number}@good.test!" .'
    for number in range(40)
)
GOOD_ZONE = r"""
@ NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp
@ NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp
range NAPTR 100 10 "u" "E2U+sip" "!^(.*)$!sip:\\1@good.test;transport=udp!" .
_sip._tcp SRV 10 0 5060 one
_sip._udp SRV 10 3 5060 one
_sip._udp SRV 10 1 5061 two
_sip._udp SRV 20 0 5062 spare
_sips._tcp SRV 10 0 5061 one
one A 192.0.2.1
one AAAA 2001:db8::1
two CNAME one
spare A 192.0.2.3
none SRV 0 0 0 .
lost NS ns.elsewhere.test.
"""
BAD_ZONE = "host A 192.0.2.66\nother A 192.0.2.5\n"


@pytest.fixture(scope="module")
def zones() -> dict[str, str]:
    return {"e164.test": ENUM_ZONE, "good.test": GOOD_ZONE, "bad.test": BAD_ZONE}


@pytest.fixture
async def servers(tmp_path: Path, zones: dict[str, str]) -> AsyncIterator[Servers]:
    async with dns_servers(tmp_path, zones, signed=("good.test", "e164.test"), spoilt="bad.test") as found:
        yield found


def client(*servers: Address) -> DnsClient:
    return DnsClient(servers, clock=Clock(), chance=Chance.seeded(1))


async def ask(server: Address, name: str, kind: Kind = "A") -> Answer:
    with trio.fail_after(15):
        return await client(server).ask(Question(name, kind))


async def enum(server: Address, number: str) -> Enumeration:
    with trio.fail_after(15):
        return await client(server).run(enumerate_number(number, "e164.test"))


async def find(server: Address, host: str, transport: str | None = None, *, seed: int = 1) -> Located:
    with trio.fail_after(15):
        reach = Reach(("tls", "tcp", "udp"))
        return await client(server).run(locate(Destination(host, transport=transport), reach, Chance.seeded(seed)))


async def test_numbers_servers_and_every_way_to_fail(servers: Servers) -> None:
    """One start of the servers for many questions: they take a second to start."""
    await _numbers(servers)
    await _servers_of_a_domain(servers)
    await _failures(servers)
    await _memory_and_failover(servers)


async def _numbers(servers: Servers) -> None:
    for server in (servers.knot, servers.unbound):
        found = await enum(server, NUMBER)
        assert [each.uri for each in found.found] == ["sip:3012345@good.test", f"tel:{NUMBER};npdi"]
        assert found.secure is (server == servers.unbound)
        led_on = await enum(server, "+493012346")
        assert [each.uri for each in led_on.found] == ["sip:+493012346@good.test;transport=udp"]
        assert "loop" in (await enum(server, "+493012347")).trail[-1]
        assert (await enum(server, "+493099999")).outcome == "no such name"
        assert (await enum(server, "+49301234")).outcome == "no data"  # longer numbers are below it
        large = await ask(server, "8.4.3.2.1.0.3.9.4.e164.test", "NAPTR")  # cut over UDP, whole over TCP
        assert len(large.naptrs) == 40


async def _servers_of_a_domain(servers: Servers) -> None:
    for server in (servers.knot, servers.unbound):
        located = await find(server, "good.test")
        assert [(hop.transport, *hop.address) for hop in located.hops][:2] == [
            ("tcp", "2001:db8::1", 5060),
            ("tcp", "192.0.2.1", 5060),
        ]
        assert {hop.host for hop in located.hops} == {"good.test"}
    firsts = [(await find(servers.unbound, "good.test", "udp", seed=seed)).hops[0].address[1] for seed in range(24)]
    assert set(firsts) == {5060, 5061}
    assert firsts.count(5060) > firsts.count(5061)
    last = (await find(servers.unbound, "good.test", "udp")).hops[-1]
    assert last.address == ("192.0.2.3", 5062)


async def _failures(servers: Servers) -> None:
    knot, unbound = servers.knot, servers.unbound
    assert (await ask(unbound, "nothing.good.test")).outcome == "no such name"
    assert (await ask(unbound, "good.test")).outcome == "no data"
    assert (await ask(unbound, "other.bad.test")).addresses == ("192.0.2.5",)
    bogus = await ask(unbound, "host.bad.test")
    assert bogus.outcome == "bogus", bogus
    assert (await ask(knot, "host.bad.test")).addresses == ("192.0.2.99",)  # who does not validate is lied to
    assert (await ask(knot, "www.elsewhere.test")).outcome == "refused"
    assert (await ask(knot, "www.lost.good.test")).outcome == "lame"
    assert (await ask(unbound, "www.nobody.test")).outcome in ("lame", "failed")
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as silent:
        await silent.bind(("127.0.0.1", 0))
        assert (await ask(silent.getsockname(), "good.test")).outcome == "timeout"


async def _memory_and_failover(servers: Servers) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as silent:
        await silent.bind(("127.0.0.1", 0))
        dns = client(silent.getsockname(), servers.unbound)
        assert (await dns.ask(Question("one.good.test", "A"))).addresses == ("192.0.2.1",)
        sent = dns.sent
        assert (await dns.ask(Question("one.good.test", "A"))).cached
        assert dns.sent == sent
        missing = Question("nothing.good.test", "A")
        await dns.ask(missing)
        again = await dns.ask(missing)
        assert (again.outcome, again.cached) == ("no such name", True)
        assert 50.0 < again.ttl_seconds <= 60.0  # the minimum of the zone's SOA


async def test_the_order_of_servers_is_that_of_sofia_sip(servers: Servers, tmp_path: Path) -> None:
    """Another implementation of RFC 3263, which prints only what is tried first, finds the same transport and servers."""
    settings = tmp_path / "resolv.conf"
    settings.write_text(f"nameserver 127.0.0.1\nport {servers.unbound[1]}\n")
    for transport in ("udp", "tcp", None):
        target = "sip:good.test" + (f";transport={transport}" if transport else "")
        done = await trio.run_process(
            [program("sip-dig"), target],
            env={"SRESOLV_CONF": str(settings), "PATH": "/usr/bin"},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        theirs = {(words[-3], words[-1], int(words[-2])) for words in lines if len(words) >= 3}
        located = await find(servers.unbound, "good.test", transport)
        ours = [(hop.transport, *hop.address) for hop in located.hops]
        assert theirs
        assert set(ours[: len(theirs)]) == theirs, done


async def test_explain_shows_the_path_without_a_node(servers: Servers, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "p2psip.toml").write_text(
        f'[dns]\nservers = ["127.0.0.1:{servers.unbound[1]}"]\n'
        '[dial_plan]\ncountry = "DE"\nenum_roots = ["e164.test"]\ndomains = ["*.test"]\nprivate_hosts = true\n'
    )
    code, facts = await _explain(home, "03012345")
    assert (code, facts["number"], facts["node_running"]) == (0, NUMBER, False)
    taken = facts["steps"][facts["taken"] - 1]
    assert (taken["stage"], taken["routes"][0]["uri"]) == ("enum", "sip:3012345@good.test")
    assert taken["routes"][0]["hops"][0] == {
        "transport": "tcp",
        "address": "[2001:db8::1]:5060",
        "host": "good.test",
    }
    facts = await explain_here(home, load_settings(home), "sip:a@host.bad.test", None)
    assert (facts["taken"], facts["steps"][0]["status"]) == (None, 502)
    assert "bogus" in facts["steps"][0]["reason"]


async def _explain(home: Path, target: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "p2psip.app", "--home", str(home), "--json", "explain", target]
    with trio.fail_after(30):
        done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    return done.returncode, json.loads(done.stdout)


async def test_a_call_takes_the_way_that_enum_names_past_a_dead_server(tmp_path: Path) -> None:
    """Dialled as a national number: ENUM names a domain, its first server is dead, the second one is a sipp that answers."""
    dead, alive = free_port(), free_port()
    zones = {
        "e164.test": r'5.4.3.2.1.0.3.9.4 NAPTR 1 1 "u" "E2U+sip" "!^\\+49(.*)$!sip:\\1@calls.test!" .',
        "calls.test": (
            '@ NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp\n@ NAPTR 2 1 "s" "SIP+D2U" "" _sip._udp\n'
            f"_sip._tcp SRV 1 0 {dead} ns\n_sip._udp SRV 1 0 {alive} ns\n"
        ),
    }
    network = LocalNetwork(tmp_path / "overlay")
    try:
        async with dns_servers(tmp_path, zones, signed=("e164.test", "calls.test")) as servers:
            await network.start_bootstrap()
            home = await network.join("alice")
            (home / "p2psip.toml").write_text(
                f'[dns]\nservers = ["127.0.0.1:{servers.unbound[1]}"]\n'
                '[calls]\nannouncement = "off"\n'
                '[dial_plan]\ncountry = "DE"\nenum_roots = ["e164.test"]\nprivate_hosts = true\n'
                '[[dial_plan.rules]]\nmatch = "+49900."\ndeny = "nobody here pays for that"\n'
            )
            await network.up(home)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_answering_sipp, tmp_path, alive)
                with trio.fail_after(60):
                    report = await call_once(home, "03012345", play=None, record=None, seconds=0.5)
                    explained = await explain_here(home, load_settings(home), "03012345", None)
                    emergency = await call_once(home, "112", play=None, record=None, seconds=0.5)
                    premium = await call_once(home, "0900123456", play=None, record=None, seconds=0.5)
                nursery.cancel_scope.cancel()
    finally:
        await network.close()
    assert report["status"] == 200
    assert (emergency["status"], "another telephone" in emergency["why"]) == (503, True), emergency
    assert (premium["status"], "nobody here pays" in premium["why"]) == (403, True), premium
    assert explained["node_running"]
    taken = explained["steps"][explained["taken"] - 1]
    assert taken["routes"][0]["uri"] == "sip:3012345@calls.test"
    assert [(hop["transport"], hop["address"]) for hop in taken["routes"][0]["hops"]] == [
        ("tcp", f"127.0.0.1:{dead}"),
        ("udp", f"127.0.0.1:{alive}"),
    ]


async def _answering_sipp(folder: Path, port: int) -> None:
    command = [program("sipp"), "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    await trio.run_process(command, cwd=folder, capture_stdout=True, capture_stderr=True, check=False)
