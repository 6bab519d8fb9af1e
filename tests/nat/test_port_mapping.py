"""Port mapping against a real miniupnpd on the border of a home: mapped, reached from outside, removed, made anew."""

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.programs import program
from tests.nat.kinds import Kind
from tests.nat.lab import Lab, Plan, Site
from tests.nat.probes import is_absent, send

pytestmark = pytest.mark.nat

PORT = 5_062
ANSWER_SECONDS_MAX = 30.0
PROTOCOLS = ("PCP", "NAT-PMP", "UPnP")

ROUTER_RULES = """
flush ruleset
table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
    }
    chain prerouting { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        jump postrouting_miniupnpd
        oifname "wan" masquerade
    }
}
"""
SETTINGS = """
ext_ifname=wan
listening_ip=lan
enable_natpmp={natpmp}
enable_upnp={upnp}
secure_mode=yes
min_lifetime=2
uuid=00000000-0000-4000-8000-000000000001
{rules}
"""
ALLOW = "allow 1024-65535 192.168.1.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535"
DENY = "deny 0-65535 0.0.0.0/0 0-65535"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    plans = [Plan("home", Kind.SYMMETRIC), Plan("cgn", Kind.CARRIER_GRADE), Plan("outside", Kind.PUBLIC)]
    with Lab(plans) as built:
        yield built


class Forwarder:
    """miniupnpd on the border of a site, from fresh rules each time: what it knew is forgotten, as by a restart."""

    def __init__(self, site: Site, folder: Path, *, rules: str = ALLOW, natpmp: bool = True, upnp: bool = True) -> None:
        assert site.border is not None
        self.border = site.border
        self._file = folder / "miniupnpd.conf"
        words = {True: "yes", False: "no"}
        self._file.write_text(SETTINGS.format(rules=rules, natpmp=words[natpmp], upnp=words[upnp]))
        self._pid = folder / "miniupnpd.pid"

    @contextlib.contextmanager
    def running(self, rules: str = ROUTER_RULES) -> Iterator[None]:
        """It runs in the foreground as long as the block does."""
        self.border.nft(rules)
        words = [program("miniupnpd"), "-d", "-f", str(self._file), "-P", str(self._pid)]
        with self.border.process(words):
            yield

    @property
    def forwards(self) -> bool:
        """Whether it lets anybody in to our port."""
        return f":{PORT}" in self.mapped

    @property
    def mapped(self) -> str:
        """The rules of its mappings, in nft's words."""
        return self.border.output(program("nft"), "list", "chain", "inet", "filter", "prerouting_miniupnpd")


class Mapper:
    """Our port mapper in a process inside the home."""

    def __init__(self, site: Site, *protocols: str, seconds: float = 1.0) -> None:
        words = [*site.prefix, sys.executable, "-m", "tests.nat.mapper", str(PORT), str(seconds), *protocols]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []

    def __enter__(self) -> "Mapper":
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def wait(self, key: str, words: str = "") -> dict[str, Any]:
        """The next line whose `key` has a value that holds `words`."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while time.monotonic() < deadline:
            if select.select([self._process.stdout], [], [], deadline - time.monotonic())[0]:
                line = self._process.stdout.readline()
                assert line, f"the mapper has ended; it said {self.lines}"
                self.lines.append(json.loads(line))
                if self.lines[-1][key] is not None and words in str(self.lines[-1][key]):
                    return self.lines[-1]
        raise AssertionError(f"no {key} {words!r} in {self.lines}")

    def stop(self) -> None:
        """End it as a node ends; returns when the process is gone."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(ANSWER_SECONDS_MAX)
        if self._process.stdout is not None:
            self._process.stdout.close()


def reaches(lab: Lab, external: tuple[str, int], site: Site) -> bool:
    """Whether a datagram from a public host comes to our port inside."""
    with lab["outside"].socket() as outside, site.hosts[0].socket() as inside:
        inside.bind(("0.0.0.0", PORT))
        source = send(outside, external, inside)
        if source is None:
            assert is_absent(outside, external, inside)
        return source is not None


def until(condition: Any) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_lets_others_in_and_removes_its_mapping(lab: Lab, tmp_path: Path, protocol: str) -> None:
    site = lab["home"]
    forwarder = Forwarder(site, tmp_path)
    with forwarder.running(), Mapper(site, protocol) as mapper:
        found = mapper.wait("external")
        assert found["protocol"] == protocol
        assert found["external"] == [site.outer_ipv4, PORT]
        assert reaches(lab, (site.outer_ipv4, PORT), site)
        mapper.stop()
        assert not forwarder.forwards
        assert not reaches(lab, (site.outer_ipv4, PORT), site)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_router_that_has_forgotten_is_asked_anew(lab: Lab, tmp_path: Path, protocol: str) -> None:
    site = lab["home"]
    forwarder = Forwarder(site, tmp_path)
    with contextlib.ExitStack() as stack:
        with forwarder.running():
            mapper = stack.enter_context(Mapper(site, protocol))
            mapper.wait("external")
            assert forwarder.forwards
        stack.enter_context(forwarder.running())
        until(lambda: forwarder.forwards)
        assert reaches(lab, (site.outer_ipv4, PORT), site)


def test_pcp_is_asked_first_and_upnp_where_nothing_else_is(lab: Lab, tmp_path: Path) -> None:
    site = lab["home"]
    with Forwarder(site, tmp_path).running(), Mapper(site) as mapper:
        assert mapper.wait("external")["protocol"] == "PCP"
    with Forwarder(site, tmp_path, natpmp=False).running(), Mapper(site) as mapper:
        assert mapper.wait("external")["protocol"] == "UPnP"


def test_no_router_that_answers_is_explained(lab: Lab) -> None:
    with Mapper(lab["home"]) as mapper:
        mapper.wait("why", "no router answers")


def test_a_refusal_is_explained(lab: Lab, tmp_path: Path) -> None:
    """By UPnP only: to PCP this miniupnpd answers a denial of every port by looking for a free one for ever."""
    with Forwarder(lab["home"], tmp_path, rules=DENY, natpmp=False).running(), Mapper(lab["home"]) as mapper:
        mapper.wait("why", "does not let others in")


def test_a_router_behind_another_nat_is_explained(lab: Lab, tmp_path: Path) -> None:
    """miniupnpd itself refuses when its external address is private."""
    with Forwarder(lab["cgn"], tmp_path).running(), Mapper(lab["cgn"]) as mapper:
        assert "carrier-grade NAT" in mapper.wait("why", "no public address of its own")["why"]
