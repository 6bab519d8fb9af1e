"""The tester's side: who is probed, by whom, at which address, and how little can be made of it by somebody hostile."""

import pytest

from overlay.contact import Contact, pack_host
from overlay.frame import FrameBox
from overlay.holder import Asking
from overlay.members import Members
from overlay.probing import (
    ASKERS_MAX,
    AVOIDED_MAX,
    PROBES_EACH,
    TESTS_PER_NODE_PER_SECOND_MAX,
    TESTS_PER_SECOND_MAX,
    TOKEN_BYTES,
    Allowance,
    Prober,
    may_probe,
)
from overlay.reachability import PROBERS_MAX
from overlay.rpc import DIAL_BACK, PROBE_FOR, UNAUTHORIZED, Answer, Callback, Late
from p2psip.base.chance import Chance
from p2psip.base.codec import pack
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from tests.overlay.devices import UNIX, Town
from tests.overlay.test_peer import Stranger
from tests.overlay.world import World

ASKER: Address = ("20.1.1.1", 4000)
TOKEN = bytes(range(TOKEN_BYTES))


class Examiner:
    """A prober with a table of nodes at these hosts, and what it has sent and asked."""

    def __init__(self, *hosts: str) -> None:
        self.town = Town()
        self.device, self.asker = self.town.device("tester"), self.town.device("asker")
        self.sent: list[tuple[bytes, Address, bytes]] = []
        self.elsewhere: list[tuple[bytes, Address, bytes]] = []
        self.asked: list[tuple[Contact, int, list[object], Callback]] = []
        world = World(1)
        self.box = FrameBox(self.device.node_key, Chance.seeded(2), UNIX)
        self.table = world.add().peer.table
        for number, host in enumerate(hosts):
            contact = Contact(self.town.device(f"peer{number}").node_key.public, (host, 5000), last_seen=float(number))
            assert self.table.add(contact)
        self.prober = Prober(
            self.table,
            Members(self.town.membership(), self.box),
            certificate=lambda: self.device.certificate.der,
            ask=self._ask,
            send=lambda *sent: self.sent.append(sent),
            send_elsewhere=lambda *sent: self.elsewhere.append(sent),
            chance=Chance.seeded(1),
        )

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[object],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        assert now >= 0.0
        assert late is None
        self.asked.append((contact, method, arguments, callback))

    def asking(self, *, source: Address = ASKER, is_proved: bool = True, now: float = 1.0) -> Asking:
        """A request of the asker."""
        return Asking(self.asker.node_key.public, source, is_proved, 1_000, now, UNIX)

    def dial_back(self, *avoid: str, asking: Asking | None = None, certificate: bytes | None = None) -> list[object]:
        """The answer to the asker's wish."""
        shown = self.asker.certificate.der if certificate is None else certificate
        arguments = [TOKEN, [pack_host(host) for host in avoid], shown]
        return self.prober.dial_back(asking or self.asking(), arguments)

    def probe_for(self, host: str = "20.2.2.2", port: int = 4000, *, asking: Asking | None = None) -> None:
        """The asker is a tester itself and wants a probe to go there."""
        arguments = [TOKEN, bytes(32), pack_host(host), port, self.asker.certificate.der]
        self.prober.probe_for(asking or self.asking(), arguments)


def test_two_others_probe_the_address_that_is_seen_and_the_tester_does_from_elsewhere() -> None:
    tester = Examiner("20.3.0.1", "20.3.1.1", "20.3.2.1")
    hosts, elsewhere = tester.dial_back("20.3.1.1")
    assert (sorted(map(bytes, hosts)), elsewhere) == ([pack_host("20.3.0.1"), pack_host("20.3.2.1")], True)  # type: ignore[call-overload]
    assert [method for _contact, method, _arguments, _callback in tester.asked] == [PROBE_FOR] * PROBERS_MAX
    key = tester.asker.node_key.public
    wish = [TOKEN, key, pack_host(ASKER[0]), ASKER[1], tester.device.certificate.der]
    assert [arguments for _contact, _method, arguments, _callback in tester.asked] == [wish] * PROBERS_MAX
    assert tester.elsewhere == [(key, ASKER, b"\x07" + TOKEN)] * PROBES_EACH
    assert tester.sent == []


@pytest.mark.parametrize("host", [ASKER[0], "192.168.1.1", "2001:db8:1::1"])
def test_the_askers_own_host_another_realm_and_another_family_are_no_probers(host: str) -> None:
    tester = Examiner(host)
    assert tester.dial_back() == [[], True]


def test_who_failed_is_no_prober_and_one_host_is_one_prober() -> None:
    tester = Examiner("20.3.0.1", "20.3.1.1", "20.3.1.1")
    next(iter(tester.table)).failures = 1
    assert tester.dial_back() == [[pack_host("20.3.1.1")], True]


def test_more_hosts_to_avoid_than_the_bound_are_not_read() -> None:
    tester = Examiner("20.3.0.1")
    many = [f"20.4.{number}.1" for number in range(AVOIDED_MAX)]
    assert tester.dial_back(*many, "20.3.0.1") == [[pack_host("20.3.0.1")], True]
    assert tester.dial_back(*many[1:], "20.3.0.1") == [[], True]


@pytest.mark.parametrize(
    ("source", "is_proved", "certificate", "status"),
    [
        (ASKER, False, None, 401),
        (("100::1", 1), True, None, 400),
        (ASKER, True, b"", 403),
        (ASKER, True, Town(seed=9).device("eve").certificate.der, 403),
    ],
)
def test_only_a_member_that_receives_where_it_asks_from_is_tested(
    source: Address, is_proved: bool, certificate: bytes | None, status: int
) -> None:
    tester = Examiner("20.3.0.1")
    with pytest.raises(RemoteError) as refusal:
        tester.dial_back(asking=tester.asking(source=source, is_proved=is_proved), certificate=certificate)
    assert refusal.value.status == status
    assert (tester.asked, tester.elsewhere, tester.sent) == ([], [], [])


@pytest.mark.parametrize("arguments", [[], [b"short", [], b""], [TOKEN, b"", b""], [TOKEN, ["text"], b""]])
def test_a_malformed_wish_is_refused(arguments: list[object]) -> None:
    tester = Examiner()
    for serve in (tester.prober.dial_back, tester.prober.probe_for):
        with pytest.raises(RemoteError):
            serve(tester.asking(), arguments)


def test_a_prober_that_takes_our_token_no_longer_is_asked_once_more() -> None:
    tester = Examiner("20.3.0.1")
    tester.dial_back()
    contact, _method, _arguments, callback = tester.asked[0]
    refusal = Answer(UNAUTHORIZED, ASKER, b"new", None, 1, "")
    callback(contact, refusal)
    assert len(tester.asked) == 2
    tester.asked[1][3](contact, refusal)
    assert len(tester.asked) == 2


def test_a_prober_sends_its_probes_where_it_is_told() -> None:
    tester = Examiner()
    tester.probe_for()
    assert tester.sent == [(bytes(32), ("20.2.2.2", 4000), b"\x07" + TOKEN)] * PROBES_EACH


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_no_probe_goes_to_a_port_that_is_none(port: int) -> None:
    with pytest.raises(RemoteError):
        Examiner().probe_for(port=port)


@pytest.mark.parametrize(
    ("target", "asker", "allowed"),
    [
        ("2002:7f00:1::1", "2a00::1", False),
        ("64:ff9b::a00:1", "2a00::1", False),
        ("20.2.2.2", "20.1.1.1", True),
        ("20.2.2.2", "192.168.1.1", True),
        ("192.168.1.2", "192.168.1.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("192.168.1.2", "20.1.1.1", False),
        ("127.0.0.1", "20.1.1.1", False),
        ("127.0.0.1", "192.168.1.1", False),
        ("::1", "2001:4860::1", False),
        ("fe80::1", "2001:4860::1", False),
        ("fd00::1", "2001:4860::1", False),
        ("224.0.0.1", "192.168.1.1", False),
        ("ff02::1", "fd00::1", False),
        ("255.255.255.255", "192.168.1.1", False),
        ("0.0.0.0", "192.168.1.1", False),
        ("::", "fd00::1", False),
        ("100::1", "fd00::1", False),
    ],
)
def test_nobody_outside_can_aim_at_our_own_networks(target: str, asker: str, allowed: bool) -> None:
    assert may_probe(target, asker) is allowed
    tester = Examiner()
    asking = tester.asking(source=(asker, 4000))
    if allowed:
        tester.probe_for(target, asking=asking)
    else:
        with pytest.raises(RemoteError) as refusal:
            tester.probe_for(target, asking=asking)
        assert refusal.value.status == 403
    assert bool(tester.sent) is allowed


def test_one_test_over_the_budget_of_a_node_is_refused() -> None:
    tester = Examiner("20.3.0.1")
    for _ in range(TESTS_PER_NODE_PER_SECOND_MAX):
        tester.dial_back()
        tester.probe_for()
    for refused in (tester.dial_back, tester.probe_for):
        with pytest.raises(RemoteError) as refusal:
            refused()
        assert refusal.value.status == 503
    assert len(tester.sent) == TESTS_PER_NODE_PER_SECOND_MAX * PROBES_EACH
    tester.dial_back(asking=tester.asking(now=2.0))


def test_one_test_over_the_budget_of_all_is_refused_and_askers_are_bounded() -> None:
    allowance = Allowance()
    for _test in range(TESTS_PER_SECOND_MAX):
        allowance.spend_total(1.0)
    with pytest.raises(RemoteError):
        allowance.spend_total(1.0)
    for number in range(ASKERS_MAX + 1):
        allowance.spend(number.to_bytes(32, "big"), 10.0 + number)
    assert len(allowance) == ASKERS_MAX


def test_a_stranger_without_a_token_causes_no_more_than_three_times_what_it_sent() -> None:
    world = World(3)
    world.populate(6)
    stranger = Stranger(world, world.nodes[0])
    payload = b"\x01" + pack([1, DIAL_BACK, 1, b"", 0, b"", [TOKEN, [], bytes(300)]])
    before = len(world.trace)
    sent = stranger.say(payload)
    assert sum(len(transmit.data) for transmit in sent) <= 3 * (len(payload) + 65)
    assert len(world.trace) == before


def test_all_that_a_test_sends_to_the_asker_is_less_than_three_times_its_request() -> None:
    world = World(4)
    world.populate(8)
    node = world.add()
    start = len(world.trace)
    world.join(node, world.nodes[2])
    asked = max(size for _at, source, _to, size in world.trace[start + 1 :] if source == node.address)
    probes = [
        size for _at, source, to, size in world.trace[start:] if to == node.address and size == 65 + 1 + TOKEN_BYTES
    ]
    assert len(probes) == (1 + PROBERS_MAX) * PROBES_EACH
    assert sum(probes) + 120 <= 3 * asked


def test_a_probe_that_nobody_asked_for_is_malformed() -> None:
    world = World(5)
    host = world.add()
    stranger = Stranger(world, host)
    before = host.peer.malformed
    sent: list[Transmit] = stranger.say(b"\x07" + TOKEN)
    assert (sent, host.peer.malformed) == ([], before + 1)
    assert not host.peer.reach.verdict.proved


def test_strangers_leave_members_their_tests() -> None:
    tester, stranger = Examiner(), Town(seed=99)
    for _number in range(TESTS_PER_SECOND_MAX + 1):
        key = stranger.device("eve").node_key.public
        with pytest.raises(RemoteError) as refusal:
            tester.dial_back(asking=Asking(key, ASKER, True, 1_000, 1.0, UNIX))
        assert refusal.value.status == 403
    tester.dial_back()
