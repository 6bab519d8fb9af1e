"""The laboratory's NATs are what they claim, proved by packets."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.interop.programs import program
from tests.nat.kinds import Kind
from tests.nat.lab import HOSTS_MAX, SITES_MAX, Lab, Plan
from tests.nat.namespaces import NAMESPACE_FOLDER, CommandFailed
from tests.nat.probes import Behaviour, behaviour, is_absent, mapped, port_of, send, sockets

pytestmark = pytest.mark.nat

SHORT_SECONDS = 2
CONES = (Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED, Kind.NO_HAIRPIN)
EXPECTED = {
    Kind.PUBLIC: Behaviour(True, True, True),
    Kind.FULL_CONE: Behaviour(True, True, True),
    Kind.ADDRESS_RESTRICTED: Behaviour(True, True, False),
    Kind.PORT_RESTRICTED: Behaviour(True, False, False),
    Kind.NO_HAIRPIN: Behaviour(True, False, False),
    Kind.SYMMETRIC: Behaviour(False, False, False),
    Kind.CARRIER_GRADE: Behaviour(False, False, False),
    Kind.DUAL_STACK: Behaviour(False, False, False),
}


def name_of(kind: Kind) -> str:
    return kind.name.lower().replace("_", "")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    plans = [Plan(name_of(kind), kind, hosts=1 if kind is Kind.PUBLIC else 2) for kind in Kind]
    extra = [Plan("one", Kind.PUBLIC), Plan("other", Kind.PUBLIC)]
    with Lab([*plans, *extra, Plan("short", Kind.FULL_CONE, mapping_seconds=SHORT_SECONDS)]) as built:
        yield built


@pytest.mark.parametrize("kind", EXPECTED, ids=name_of)
def test_mapping_and_filtering_are_of_the_kind(lab: Lab, kind: Kind) -> None:
    assert behaviour(lab[name_of(kind)], lab["one"], lab["other"]) == EXPECTED[kind]


@pytest.mark.parametrize("kind", [*CONES, Kind.SYMMETRIC], ids=name_of)
def test_hairpin(lab: Lab, kind: Kind) -> None:
    site = lab[name_of(kind)]
    with site.socket() as first, site.socket(host=1) as second, lab["one"].socket() as public:
        outer, outer_of_second = mapped(first, lab["one"], public), mapped(second, lab["one"], public)
        if kind in (Kind.NO_HAIRPIN, Kind.SYMMETRIC):
            assert is_absent(second, outer, first)
        else:
            assert send(second, outer, first) == outer_of_second
            assert send(first, outer_of_second, second) == outer
        assert send(second, (site.host_ipv4(0), port_of(first)), first) == (site.host_ipv4(1), port_of(second))


@pytest.mark.parametrize("one", CONES, ids=name_of)
@pytest.mark.parametrize("other", [Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED], ids=name_of)
def test_both_sides_open_at_once_and_keep_their_mapping(lab: Lab, one: Kind, other: Kind) -> None:
    if one is other:
        one = Kind.NO_HAIRPIN
    with sockets(lab[name_of(one)], lab[name_of(other)], lab["one"]) as (near, far, public):
        outer_near, outer_far = mapped(near, lab["one"], public), mapped(far, lab["one"], public)
        barrier = threading.Barrier(2)

        def open_way(sock: socket.socket, to: tuple[str, int]) -> None:
            barrier.wait()
            sock.sendto(b"open", to)

        threads = [threading.Thread(target=open_way, args=way) for way in ((near, outer_far), (far, outer_near))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert send(near, outer_far, far) == outer_near
        assert send(far, outer_near, near) == outer_far
        assert mapped(near, lab["one"], public) == outer_near


def test_a_symmetric_site_reaches_an_address_restricted_one_but_no_port_restricted_one(lab: Lab) -> None:
    with sockets(lab["symmetric"], lab["addressrestricted"], lab["portrestricted"], lab["one"]) as (
        symmetric,
        restricted,
        strict,
        public,
    ):
        guess = mapped(symmetric, lab["one"], public)
        for cone, comes in ((restricted, True), (strict, False)):
            outer = mapped(cone, lab["one"], public)
            cone.sendto(b"open", guess)
            assert (not is_absent(symmetric, outer, cone)) == comes


def test_a_mapping_ends_after_its_time(lab: Lab) -> None:
    with sockets(lab["short"], lab["one"], lab["other"]) as (inner, public, other):
        outer = mapped(inner, lab["one"], public)
        for _ in range(3):  # what goes out keeps it open
            time.sleep(SHORT_SECONDS / 2)
            assert mapped(inner, lab["one"], public) == outer
        assert send(other, outer, inner) is not None
        time.sleep(SHORT_SECONDS + 0.5)
        assert is_absent(other, outer, inner)
        assert is_absent(public, outer, inner)
        assert mapped(inner, lab["one"], public) != outer


def test_where_udp_is_blocked_only_https_goes_out(lab: Lab) -> None:
    blocked, public = lab["udpblocked"], lab["one"]
    with sockets(blocked, public) as (inner, outside):
        assert is_absent(inner, (public.ipv4, port_of(outside)), outside)
    for port, works in ((443, True), (444, False)):
        with public.hosts[0].socket(kind=socket.SOCK_STREAM) as listener:
            listener.bind((public.ipv4, port))
            listener.listen()
            assert connects(blocked.socket(kind=socket.SOCK_STREAM), (public.ipv4, port)) == works


def connects(sock: socket.socket, to: tuple[str, int]) -> bool:
    with sock:
        sock.settimeout(0.4)
        try:
            sock.connect(to)
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("kind", [Kind.IPV6_ONLY, Kind.DUAL_STACK], ids=name_of)
def test_the_ipv6_firewall_lets_in_answers_only(lab: Lab, kind: Kind) -> None:
    site, one, other = lab[name_of(kind)], lab["one"], lab["other"]
    with sockets(site, one, other, family=socket.AF_INET6) as (inner, first, second):
        here = (site.ipv6, port_of(inner))
        assert is_absent(first, here, inner)
        assert send(inner, (one.ipv6, port_of(first)), first) == here
        assert send(first, here, inner) == (one.ipv6, port_of(first))
        assert is_absent(second, here, inner)


def test_coturn_discovers_the_same(lab: Lab, tmp_path: object) -> None:
    """coturn's own prober, against coturn as a STUN server with two addresses, agrees about a cone and a symmetric NAT."""
    one = lab["one"]
    one.hosts[0].ip(["address add 11.200.0.2/32 dev wan"])
    lab.internet.ip([f"route add 11.200.0.2/32 dev site{one.number}"])
    words = [program("turnserver"), "-n", "-S", "--no-tls", "--no-dtls", "--log-file", "stdout", "--no-tcp"]
    words += [
        "-L",
        one.ipv4,
        "-L",
        "11.200.0.2",
        "--no-cli",
        "--pidfile",
        f"{tmp_path}/pid",
        "--userdb",
        f"{tmp_path}/db",
    ]
    with one.hosts[0].process(words):
        wait_for_stun(lab)
        assert "Endpoint Independent Mapping" in discover(lab, Kind.PORT_RESTRICTED)
        assert "Address and Port Dependent Mapping" in discover(lab, Kind.SYMMETRIC)


def discover(lab: Lab, kind: Kind) -> str:
    return lab[name_of(kind)].hosts[0].output(program("turnutils_natdiscovery"), "-m", lab["one"].ipv4)


def wait_for_stun(lab: Lab) -> None:
    request = bytes.fromhex("000100002112a442") + bytes(12)
    deadline = time.monotonic() + 10.0
    with lab["other"].socket() as sock:
        sock.settimeout(0.1)
        while time.monotonic() < deadline:
            sock.sendto(request, (lab["one"].ipv4, 3478))
            with contextlib.suppress(TimeoutError):
                assert sock.recv(2048)[:2] == b"\x01\x01"
                return
    raise AssertionError("coturn does not answer")


def test_nothing_is_left() -> None:
    with Lab([Plan("a", Kind.CARRIER_GRADE), Plan("b", Kind.PUBLIC)]) as other:
        prefix = other.prefix
        process = other["a"].hosts[0].start(["sleep", "60"])
    assert process.wait() != 0
    assert not [path for path in NAMESPACE_FOLDER.iterdir() if path.name.startswith(prefix)]


def test_a_laboratory_that_cannot_be_built_leaves_nothing() -> None:
    before = set(NAMESPACE_FOLDER.iterdir()) if NAMESPACE_FOLDER.exists() else set()
    lab = Lab([Plan("a", Kind.PUBLIC), Plan("a" * 300, Kind.PUBLIC)])
    with pytest.raises(CommandFailed):
        lab.__enter__()
    assert not [path for path in set(NAMESPACE_FOLDER.iterdir()) - before if path.name.startswith(lab.prefix)]


def test_the_number_of_sites_and_hosts_is_bounded() -> None:
    with pytest.raises(ValueError, match="at most"):
        Lab([Plan(f"s{number}", Kind.PUBLIC) for number in range(SITES_MAX + 1)])
    with pytest.raises(ValueError, match="at most"):
        Lab([Plan("a", Kind.FULL_CONE, hosts=HOSTS_MAX + 1)])


def test_a_host_that_moves_has_other_addresses_and_its_way_out() -> None:
    with Lab([Plan("home", Kind.DUAL_STACK), Plan("host", Kind.PUBLIC), Plan("one", Kind.PUBLIC)]) as other:
        for name in ("home", "host"):
            site, one = other[name], other["one"]
            with sockets(site, one) as (old, public):
                before = mapped(old, one, public)
                site.move()
                assert mapped(old, one, public) != before
            with sockets(site, one, family=socket.AF_INET6) as (inner, public):
                seen = send(inner, (one.ipv6, port_of(public)), public)
                assert seen is not None
                assert seen[0] == f"{site.ipv6.rpartition('::')[0]}::77"
