"""Who offers records to a newcomer, when, and which; what the newcomer wants of them, and what hostile ones can do."""

import pytest

from overlay import rpc
from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.handover import (
    HANDING_OVER_NODES,
    LEFT_SECONDS_MIN,
    OFFER_SECONDS,
    OFFERED_MAX,
    OFFERS_WAITING_MAX,
    STORE_BYTES_MAX,
    HandOver,
    receiving,
)
from overlay.holder import RECORDS_PER_STORE_MAX, Asking, Holder
from overlay.records import NAME, Record, RecordVerifier, decode_together
from overlay.rpc import OFFER, STORE, Answer, Callback, Late
from overlay.searches import Searches
from overlay.store import MARK_BYTES
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE, HOST = TOWN.device("alice"), TOWN.device("host")
KEY = ALICE.record().key
TARGET = int.from_bytes(KEY, "big")
SEEN = ("192.0.2.1", 1)
LATEST = OFFER_SECONDS[-1][1]


class Desk:
    """A node beside the key, at distance 1, that holds alice's registration; `asked` is what it asks of others."""

    def __init__(self) -> None:
        self.asked: list[tuple[Contact, int, list[list[bytes] | bytes], Callback]] = []
        self.table = RoutingTable(TARGET ^ 1)
        self.holder = Holder(self.table, TOWN.membership(), HOST.certificate.der, Chance.seeded(2))
        self.store = self.holder.store
        self.store.put(ALICE.record(), ALICE.certificate, UNIX)
        self.searches = Searches(bytes(32), self.table, RecordVerifier(TOWN.membership()), self._ask, print)
        self.searches.unix_offset = float(UNIX)
        for target in (5, 6, 7):
            self.searches.size.observe(target, [target ^ place << 150 for place in range(1, 9)])
        self.handover = HandOver(self.table, self.holder, self.searches, self._ask, Chance.seeded(3))

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[list[bytes] | bytes],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        self.asked.append((contact, method, arguments, callback))

    def meet(self, distance: int) -> Contact:
        contact = Contact(distance.to_bytes(32, "big"), ("10.0.0.1", 5000))
        contact.number = TARGET ^ distance
        self.table.add(contact)
        return contact

    def offer(self, newcomer: Contact, now: float = LATEST) -> int:
        """How many records it is offered."""
        self.handover.meet(newcomer, 0.0)
        self.handover.handle_timeout(now)
        assert all((contact, method) == (newcomer, OFFER) for contact, method, _arguments, _callback in self.asked)
        return sum(len(arguments[0]) // MARK_BYTES for _contact, _method, arguments, _callback in self.asked)

    def answer(self, result: object, status: int = rpc.OK) -> list[list[Record]]:
        """The newcomer answers the offer: the records of each store that follows."""
        contact, _method, _arguments, callback = self.asked.pop(0)
        callback(contact, Answer(status, SEEN, b"token", None, 1, result))
        assert all(method == STORE for _contact, method, _arguments, _callback in self.asked)
        return [
            decode_together(list(arguments[0]))
            for _c, _m, arguments, _b in self.asked
            if isinstance(arguments[0], list)
        ]

    def receive(self, *arguments: object) -> bytes:
        """What this node answers to an offer."""
        asking = Asking(ALICE.node_key.public, SEEN, False, 1_000, 0.0, UNIX)
        result = receiving(self.holder)(asking, list(arguments))
        assert isinstance(result, bytes)
        return result

    def fill(self, count: int, *, names: bool = False) -> None:
        for number in range(count):
            device = TOWN.device(f"user{number}")
            self.store.put(device.record(), device.certificate, UNIX)
            if names:
                name = device.record(kind=NAME, body=b"", expiry=UNIX + 86_400)
                self.store.put(name, device.certificate, UNIX)
        for target in (5, 6, 7):  # a small network: everybody holds everything
            self.searches.size.observe(target, [1 << 159] * 8)


def test_a_newcomer_in_the_region_is_offered_the_record_and_gets_it_if_it_wants_it() -> None:
    desk = Desk()
    assert desk.offer(desk.meet(1 << 140)) == 1
    assert desk.answer(b"\x01") == [[ALICE.record()]]


def test_what_it_does_not_want_it_does_not_get() -> None:
    desk = Desk()
    desk.offer(desk.meet(1 << 140))
    assert desk.answer(b"\x00") == []


def test_two_offers_bring_each_record_once_and_what_one_withholds_the_next_has() -> None:
    """The newcomer says what it lacks when it is asked: a promise that was not kept costs nothing but time."""
    first, newcomer = Desk(), Desk()
    contact = first.meet(1 << 140)
    first.offer(contact)
    marks = first.asked[0][2][0]
    newcomer.store.put(ALICE.record(2), ALICE.certificate, UNIX)
    assert newcomer.receive(marks) == b"\x01"  # not this record, but another one of hers
    assert newcomer.receive(marks) == b"\x01"  # nobody has handed it over
    fresh = Desk()
    assert fresh.receive(marks) == b"\x00"


def test_ids_beside_the_key_do_not_keep_the_record_from_a_newcomer() -> None:
    desk = Desk()
    for distance in range(2, 18):
        desk.meet(distance)
    newcomer = desk.meet(1 << 140)
    closer = sum(other.number ^ newcomer.number < desk.table.own ^ newcomer.number for other in desk.table)
    assert closer - 1 < HANDING_OVER_NODES
    assert desk.offer(newcomer) == 1


@pytest.mark.parametrize("closer", range(HANDING_OVER_NODES + 1))
def test_those_closest_to_the_newcomer_offer_one_after_the_other_and_others_do_not(closer: int) -> None:
    desk = Desk()
    newcomer = desk.meet(1 << 140)
    for place in range(1, closer + 1):
        desk.meet(1 << 140 | 1 << 130 + place)
    desk.handover.meet(newcomer, 0.0)
    due = desk.handover.poll_timeout()
    if closer == HANDING_OVER_NODES:
        assert due is None
    else:
        earliest, latest = OFFER_SECONDS[closer]
        assert due is not None
        assert earliest <= due <= latest


def test_a_newcomer_far_away_is_offered_nothing_if_enough_are_closer() -> None:
    desk = Desk()
    for distance in range(2, 12):
        desk.meet(distance)
    assert desk.offer(desk.meet(1 << 159)) == 0


def test_who_has_gone_meanwhile_is_offered_nothing() -> None:
    desk = Desk()
    newcomer = desk.meet(1 << 140)
    desk.handover.meet(newcomer, 0.0)
    newcomer.failures = 1
    desk.handover.handle_timeout(LATEST)
    desk.handover.meet(newcomer, LATEST)
    desk.table.remove(newcomer)
    desk.handover.handle_timeout(2 * LATEST)
    assert desk.asked == []


def test_what_expires_soon_and_what_is_its_own_is_not_offered() -> None:
    desk = Desk()
    expiry = ALICE.record().expiry
    desk.searches.unix_offset = float(expiry - LEFT_SECONDS_MIN)
    assert desk.offer(desk.meet(1 << 140), 50.0) == 0
    own = Contact(ALICE.node_key.public, ("10.0.0.1", 5000))
    desk.table.add(own)
    desk.fill(0)
    desk.searches.unix_offset = float(UNIX)
    assert desk.offer(own) == 0


def test_one_record_over_the_bound_is_not_offered() -> None:
    desk = Desk()
    desk.fill(OFFERED_MAX)
    assert desk.offer(desk.meet(1 << 140)) == OFFERED_MAX


def test_one_newcomer_over_the_bound_is_left_to_others() -> None:
    desk = Desk()
    newcomers = [desk.meet(1 << 140 | number) for number in range(2, OFFERS_WAITING_MAX + 3)]
    for newcomer in newcomers:
        newcomer.number = TARGET ^ 1 << 140  # as close as can be, each of them
        desk.handover.meet(newcomer, 0.0)
    assert len(desk.handover.timers) <= OFFERS_WAITING_MAX


def test_records_of_one_author_travel_together_in_messages_that_are_not_cut() -> None:
    desk = Desk()
    desk.fill(20, names=True)
    assert desk.offer(desk.meet(1 << 140)) == 41
    stores = desk.answer(bytes([255] * 6))
    assert sum(len(records) for records in stores) == 41
    assert len(stores) <= 20
    for _contact, _method, arguments, _callback in desk.asked:
        assert sum(len(record) for record in arguments[0] if isinstance(record, bytes)) <= STORE_BYTES_MAX
        assert len(arguments[0]) <= RECORDS_PER_STORE_MAX


@pytest.mark.parametrize("result", [b"", b"\xff" * 1_000, None, 7, "all", [1], [b"\xff"]])
def test_any_answer_of_a_newcomer_brings_it_what_was_offered_at_most(result: object) -> None:
    desk = Desk()
    desk.offer(desk.meet(1 << 140))
    assert sum(len(records) for records in desk.answer(result)) <= 1


def test_a_refused_offer_ends_there() -> None:
    desk = Desk()
    desk.offer(desk.meet(1 << 140))
    assert desk.answer(b"\xff", status=503) == []


def test_an_offer_is_answered_within_its_bounds_only() -> None:
    desk = Desk()
    assert desk.receive(bytes(MARK_BYTES * 9)) == b"\xff\x01"
    assert len(desk.receive(bytes(OFFERED_MAX * MARK_BYTES))) == OFFERED_MAX // 8
    for arguments in ([], [b""], [bytes(OFFERED_MAX * MARK_BYTES + 1)], [7], ["marks"]):
        with pytest.raises(RemoteError):
            desk.receive(*arguments)
    desk.holder.is_client = True
    with pytest.raises(RemoteError, match="client"):
        desk.receive(bytes(MARK_BYTES))
