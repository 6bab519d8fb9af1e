"""Asking on for the devices that no answer had room for: by turns, checked by count, and never without an end."""

import pytest

from overlay.agreement import Authored
from overlay.contact import Contact
from overlay.further import HOLDERS_MAX, REGISTRATIONS_MAX, REQUESTS_MAX, Further
from overlay.records import NAME
from tests.overlay.devices import Town

TOWN = Town()
DEVICES = sorted((TOWN.device("alice") for _ in range(20)), key=lambda each: each.certificate.node_id)
RECORDS: list[Authored] = [(device.record(), device.certificate) for device in DEVICES]
HOLDERS = [Contact(bytes([number]) * 32, ("10.0.0.1", 5000 + number)) for number in range(1, 5)]


class Holding:
    """A holder of these records, two of which fit an answer."""

    def __init__(self, records: list[Authored]) -> None:
        self.records = records

    def tell(self, after: bytes) -> tuple[list[Authored], int]:
        """Its answer: two records, and how many more there are."""
        more = [each for each in self.records if each[1].node_id > after]
        return more[:2], max(len(more) - 2, 0)


def ask_on(*holdings: Holding) -> tuple[set[bytes], int]:
    """The Node-IDs found of these holders, and how many further requests that took."""
    further, found = Further(), set[bytes]()
    for contact, holding in zip(HOLDERS, holdings, strict=False):
        records, left = holding.tell(b"")
        found |= {author.node_id for _record, author in records}
        further.note(contact, records, left)
    while (asked := further.next_to_ask()) is not None:
        records, left = holdings[HOLDERS.index(asked)].tell(further.last)
        found |= {author.node_id for _record, author in records}
        further.answered(records, left)
    return found, further.asked


def ids(records: list[Authored]) -> set[bytes]:
    return {author.node_id for _record, author in records}


@pytest.mark.parametrize(("devices", "requests"), [(1, 0), (2, 0), (3, 2), (5, 3), (16, 7)])
def test_all_devices_are_found(devices: int, requests: int) -> None:
    holding = Holding(RECORDS[:devices])
    assert ask_on(holding, holding, holding) == (ids(RECORDS[:devices]), requests)


def test_no_more_than_a_person_may_have_are_asked_for() -> None:
    found, requests = ask_on(Holding(RECORDS), Holding(RECORDS))
    assert (len(found), requests) == (REGISTRATIONS_MAX, 7)


def test_one_that_passes_devices_over_is_found_out_by_the_count_of_the_other() -> None:
    class Hiding(Holding):
        def tell(self, after: bytes) -> tuple[list[Authored], int]:
            return (self.records[-1:], 0) if after else super().tell(after)

    assert ask_on(Hiding(RECORDS[:6]), Holding(RECORDS[:6]))[0] == ids(RECORDS[:6])


@pytest.mark.parametrize("told", [[], RECORDS[:1], RECORDS[:2]])
def test_one_that_always_claims_more_is_not_asked_for_ever(told: list[Authored]) -> None:
    class Endless(Holding):
        def tell(self, after: bytes) -> tuple[list[Authored], int]:
            return (told, 1_000) if after else (self.records[:2], 1_000)

    found, requests = ask_on(Endless(RECORDS[:4]), Holding(RECORDS[:4]))
    assert found == ids(RECORDS[:4])
    assert requests <= REQUESTS_MAX


def test_one_request_over_the_bound_is_not_made() -> None:
    further = Further()
    further.note(HOLDERS[0], RECORDS[:1], 15)
    for number in range(REQUESTS_MAX):
        assert further.next_to_ask() == HOLDERS[0]
        further.answered(RECORDS[number + 1 : number + 2], 15)
    assert further.next_to_ask() is None


def test_one_holder_over_the_bound_is_not_asked() -> None:
    further = Further()
    for holder in HOLDERS[: HOLDERS_MAX + 1]:
        further.note(holder, RECORDS[:2], 1)
    asked = []
    while (holder_asked := further.next_to_ask()) is not None:
        asked.append(holder_asked)
        further.failed()
    assert asked == HOLDERS[:HOLDERS_MAX]


def test_who_tells_only_names_has_nothing_to_go_on_from() -> None:
    further = Further()
    name = DEVICES[0].record(kind=NAME, body=b"x")
    further.note(HOLDERS[0], [(name, DEVICES[0].certificate)], 3)
    assert further.next_to_ask() is None
