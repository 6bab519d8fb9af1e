"""The asker's side: when tests are made and with whom, what is made of answers, and what others are told."""

from collections.abc import Iterator

import pytest

from overlay.contact import Contact, pack_host
from overlay.crossing import Surroundings
from overlay.dialback import (
    ASK_AROUND_SECONDS_MIN,
    ASKED_AROUND,
    PROBE_WAIT_SECONDS,
    REFUTED_SOON_SECONDS,
    RETEST_SECONDS,
    RETEST_SOON_SECONDS,
    TOKENS_MAX,
    TOLD_AT_ONCE_MAX,
    TRIES_MAX,
    DialBack,
)
from overlay.events import Output, ReachTested, VerdictChanged
from overlay.frame import FrameBox
from overlay.probing import TOKEN_BYTES
from overlay.reachability import Reachability, Role
from overlay.rpc import DIAL_BACK, OK, PING, UNAUTHORIZED, Answer, Callback, Late
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey
from tests.overlay.devices import UNIX
from tests.overlay.world import World

LOCAL: Address = ("20.9.9.5", 5000)
OUTER: Address = ("20.9.9.9", 4000)


class Asking:
    """The side under test between a table of peers and a clock, and all that came out of it."""

    def __init__(self, peers: int = 4) -> None:
        chance = Chance.seeded(1)
        self.now = 10.0
        self.events: list[Output] = []
        self.asked: list[tuple[Contact, int, list[object], Callback]] = []
        self.table = World(1).add().peer.table
        self.contacts = [Contact(bytes([number + 1]) * 32, (f"20.{number}.0.1", 5000)) for number in range(peers)]
        self.contacts = [contact for contact in self.contacts if self.table.add(contact)]
        self.reach = Reachability(self.now)
        self.reach.note_local([LOCAL], self.now)
        around = Surroundings(
            ask=self._ask,
            find=_unused,
            ask_who=_unused,
            meet=_unused,
            transmit=_unused,
            emit=self.events.append,
            confine=_unused,
            time=lambda: self.now,
            unix=lambda: UNIX + self.now,
        )
        self.core = DialBack(self.reach, self.table, FrameBox(NodeKey.generate(chance), chance, UNIX), around, chance)

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[object],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        assert now == self.now
        assert late is None
        self.reach.note_sent(contact.address, now)
        self.asked.append((contact, method, arguments, callback))

    def wishes(self) -> list[tuple[Contact, list[object], Callback]]:
        """The DIAL_BACKs since the last look; forgets all that was asked."""
        wishes = [
            (contact, arguments, callback) for contact, method, arguments, callback in self.asked if method == DIAL_BACK
        ]
        self.asked.clear()
        return wishes

    def seen(self, number: int = 0, at: Address = LOCAL) -> None:
        """This peer has answered something and sees us there."""
        self.reach.note_sent(self.contacts[number].address, self.now)
        self.core.answered(self.contacts[number], at, self.now)

    def promise(self, wish: tuple[Contact, list[object], Callback], *probers: str, elsewhere: bool = False) -> None:
        """The tester answers."""
        self.answer(wish, OK, [[pack_host(host) for host in probers], elsewhere])

    def answer(
        self, wish: tuple[Contact, list[object], Callback], status: int, result: object, token: bytes = b""
    ) -> None:
        """The tester answers so."""
        wish[2](wish[0], Answer(status, LOCAL, token, None, 1, result))

    def probe(self, wish: tuple[Contact, list[object], Callback], source: Address) -> None:
        """A probe with the token of this wish comes from there."""
        token = wish[1][0]
        assert isinstance(token, bytes)
        self.core.take_probe(b"\x07" + token, source, self.now)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.core.handle_timeout(self.now)

    def due(self) -> float:
        """In how many seconds something is due."""
        deadline = self.core.poll_timeout()
        assert deadline is not None
        return deadline - self.now

    def verdicts(self) -> Iterator[Role]:
        """The roles that were told."""
        return (event.verdict.role for event in self.events if isinstance(event, VerdictChanged))


def _unused(*_arguments: object) -> None:
    raise AssertionError("the tests need this of nobody")


def silent(side: Asking) -> None:
    """One try in which two strange hosts promise to probe, and nothing comes."""
    (wish,) = side.wishes()
    side.promise(wish, "20.50.0.1", "20.51.0.1")
    side.wait(PROBE_WAIT_SECONDS)


def test_the_first_answer_begins_the_first_test_with_who_gave_it() -> None:
    side = Asking()
    assert not side.core.is_settled
    side.seen(2)
    ((tester, arguments, _callback),) = side.wishes()
    assert tester is side.contacts[2]
    assert arguments[1] == [pack_host("20.2.0.1")]
    side.seen(3)
    assert side.wishes() == []


def test_a_probe_of_a_stranger_ends_the_test_with_a_proof() -> None:
    side = Asking()
    side.seen()
    (wish,) = side.wishes()
    side.promise(wish, "20.50.0.1", elsewhere=True)
    assert not side.core.is_settled
    assert side.due() == pytest.approx(PROBE_WAIT_SECONDS)
    side.probe(wish, ("20.50.0.1", 5000))
    assert side.core.is_settled
    assert side.reach.verdict.proved
    assert side.events[-1] == ReachTested()
    assert 0.8 * RETEST_SECONDS <= side.due() <= 1.2 * RETEST_SECONDS


def test_two_silent_tries_make_a_client_who_says_so_and_looks_again_soon() -> None:
    side = Asking()
    side.seen()
    silent(side)
    assert (list(side.verdicts()), side.core.is_settled) == ([], False)
    silent(side)
    assert side.core.is_settled
    assert list(side.verdicts())[-1] is Role.CLIENT
    assert {method for _contact, method, _arguments, _callback in side.asked} == {PING}
    assert len(side.asked) == len(side.contacts)
    assert 0.8 * REFUTED_SOON_SECONDS <= side.due() <= 1.2 * REFUTED_SOON_SECONDS
    side.asked.clear()
    side.wait(side.due())
    silent(side)
    silent(side)
    assert 0.8 * RETEST_SECONDS <= side.due() <= 1.2 * RETEST_SECONDS


def test_a_lonely_node_asks_again_after_longer_and_longer() -> None:
    side = Asking(1)
    side.seen()
    delays = []
    for _ in range(8):
        (wish,) = side.wishes()
        side.promise(wish)
        delays.append(side.due())
        side.wait(side.due())
    low = [min(RETEST_SOON_SECONDS * 2**number, RETEST_SECONDS) * 0.8 for number in range(8)]
    assert [least <= delay <= least * 1.5 + 1e-6 for least, delay in zip(low, delays, strict=True)] == [True] * 8


def test_a_test_has_so_many_tries_at_most() -> None:
    side = Asking(10)
    side.seen()
    for _ in range(TRIES_MAX):
        (wish,) = side.wishes()
        wish[2](wish[0], None)
    assert side.wishes() == []
    assert side.core.is_settled


@pytest.mark.parametrize("result", [None, [], [[b"bad"], True], [[], 1], "text"])
def test_a_malformed_answer_promises_nothing(result: object) -> None:
    side = Asking(1)
    side.seen()
    (wish,) = side.wishes()
    side.answer(wish, OK, result)
    if not side.core.is_settled:
        side.wait(PROBE_WAIT_SECONDS)
    assert side.core.is_settled


def test_a_refused_token_is_renewed_once() -> None:
    side = Asking(1)
    side.seen()
    (wish,) = side.wishes()
    side.answer(wish, UNAUTHORIZED, "", token=b"new")
    (again,) = side.wishes()
    assert again[1] == wish[1]
    side.answer(again, UNAUTHORIZED, "", token=b"newer")
    assert side.wishes() == []


def test_an_answer_of_an_earlier_test_is_nobodys() -> None:
    side = Asking()
    side.seen()
    (wish,) = side.wishes()
    side.core.retest(side.now)
    side.promise(wish, "20.50.0.1")
    assert side.core.poll_timeout() is None


def test_only_the_tokens_of_the_last_tests_are_taken() -> None:
    side = Asking(1)
    side.seen()
    first = side.wishes()[0]
    for _ in range(TOKENS_MAX - 1):
        side.core.retest(side.now)
    side.probe(first, ("20.0.0.1", 5000))
    side.core.retest(side.now)
    with pytest.raises(RemoteError):
        side.probe(first, ("20.0.0.1", 5000))
    with pytest.raises(RemoteError):
        side.core.take_probe(b"\x07" + bytes(TOKEN_BYTES), LOCAL, side.now)


def test_a_changed_network_is_tested_at_once_and_some_are_asked_where_they_see_us() -> None:
    side = Asking(6)
    side.seen()
    side.wishes()
    side.core.network_changed([OUTER], side.now)
    pings = [contact for contact, method, _arguments, _callback in side.asked if method == PING]
    assert len(pings) == ASKED_AROUND
    assert len(side.wishes()) == 1
    side.core.network_changed([LOCAL], side.now)
    assert len([method for _contact, method, _arguments, _callback in side.asked if method == PING]) == 0
    side.wait(ASK_AROUND_SECONDS_MIN)
    side.asked.clear()
    side.core.network_changed([LOCAL], side.now)
    assert len([method for _contact, method, _arguments, _callback in side.asked if method == PING]) == ASKED_AROUND


def test_a_suspicion_asks_around_and_its_confirmation_tests_anew() -> None:
    side = Asking(6)
    for number in range(3):
        side.seen(number)
    (wish,) = side.wishes()
    side.probe(wish, ("20.50.0.1", 5000))
    side.promise(wish, "20.50.0.1")
    assert side.core.is_settled
    side.now += 100
    side.seen(0, OUTER)
    assert [method for _contact, method, _arguments, _callback in side.asked] == [PING] * ASKED_AROUND
    side.seen(1, OUTER)
    assert len(side.wishes()) == 1
    assert not side.reach.verdict.proved


def test_not_more_peers_than_the_bound_are_told_at_once() -> None:
    side = Asking(0)
    for number in range(TOLD_AT_ONCE_MAX + 40):
        contact = Contact(number.to_bytes(32, "big"), (f"20.{number}.0.1", 5000))
        if side.table.add(contact):
            side.contacts.append(contact)
    held = len(side.contacts)
    side.seen()
    silent(side)
    side.asked.clear()
    side.core.retest(side.now)
    silent(side)
    pings = [method for _contact, method, _arguments, _callback in side.asked if method == PING]
    assert len(pings) == min(TOLD_AT_ONCE_MAX, held)
    assert list(side.verdicts())[-1] is Role.CLIENT


def test_who_knows_nobody_yet_has_tested_nothing() -> None:
    side = Asking(0)
    side.core.network_changed([LOCAL], side.now)
    assert (side.core.tests_done, side.asked) == (0, [])
    assert side.due() <= 1.2 * RETEST_SOON_SECONDS
