"""Who hands records over to a newcomer, and which."""

from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.handover import HANDED_OVER_MAX, HANDING_OVER_NODES, hand_over
from overlay.records import RecordVerifier
from overlay.rpc import STORE, Callback, Late
from overlay.searches import Searches
from overlay.store import RecordStore
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE = TOWN.device("alice")
KEY = ALICE.record().key
TARGET = int.from_bytes(KEY, "big")


class Desk:
    """A node beside the key, at distance 1, that holds alice's registration; `told` is who was sent how many records."""

    def __init__(self) -> None:
        self.told: list[Contact] = []
        self.own = TARGET ^ 1
        self.table = RoutingTable(self.own)
        self.store = RecordStore()
        self.store.put(ALICE.record(), ALICE.certificate, UNIX)
        self.searches = Searches(bytes(32), self.table, RecordVerifier(TOWN.membership()), self._ask, print)
        self.searches.unix_offset = float(UNIX)
        for target in (5, 6, 7):
            self.searches.size.observe(target, [target ^ place << 150 for place in range(1, 9)])

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[object],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        assert method == STORE
        self.told.append(contact)

    def meet(self, distance: int) -> Contact:
        contact = Contact(distance.to_bytes(32, "big"), ("10.0.0.1", 5000))
        contact.number = TARGET ^ distance
        self.table.add(contact)
        return contact

    def hand_over(self, newcomer: Contact) -> list[Contact]:
        hand_over(newcomer, self.own, self.store, self.table, self.searches)
        return self.told


def test_a_newcomer_in_the_region_gets_the_record() -> None:
    desk = Desk()
    newcomer = desk.meet(1 << 140)
    assert desk.hand_over(newcomer) == [newcomer]


def test_ids_beside_the_key_do_not_keep_the_record_from_a_newcomer() -> None:
    desk = Desk()
    for distance in range(2, 18):
        desk.meet(distance)
    newcomer = desk.meet(1 << 140)
    closer = sum(other.number ^ newcomer.number < desk.own ^ newcomer.number for other in desk.table)
    assert closer - 1 < HANDING_OVER_NODES
    assert desk.hand_over(newcomer) == [newcomer]


def test_who_is_far_from_the_newcomer_leaves_it_to_others() -> None:
    desk = Desk()
    newcomer = desk.meet(1 << 140)
    for place in range(1, HANDING_OVER_NODES + 1):
        desk.meet(1 << 140 | 1 << 130 + place)
    assert desk.hand_over(newcomer) == []


def test_a_newcomer_far_away_gets_nothing_if_enough_are_closer() -> None:
    desk = Desk()
    for distance in range(2, 12):
        desk.meet(distance)
    assert desk.hand_over(desk.meet(1 << 159)) == []


def test_one_record_over_the_bound_is_not_handed_over() -> None:
    desk = Desk()
    for number in range(HANDED_OVER_MAX + 1):
        device = TOWN.device(f"user{number}")
        desk.store.put(device.record(), device.certificate, UNIX)
    desk.searches.size.observe(5, [1 << 159] * 8)
    desk.searches.size.observe(6, [1 << 159] * 8)
    desk.searches.size.observe(7, [1 << 159] * 8)
    assert len(desk.hand_over(desk.meet(1 << 140))) == HANDED_OVER_MAX
