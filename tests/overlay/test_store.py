"""What a node holds: one entry per author, sequences that only grow, withdrawals, expiry, quotas, tokens."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlay import store as module
from overlay.records import KINDS, MAILBOX, NAME, REGISTRATION, RELAY, Record, mailbox_key, registration_key
from overlay.store import TOKEN_WINDOW_SECONDS, RecordStore, WriteTokens
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from tests.overlay.devices import UNIX, Device, Town

TOWN = Town()
ALICE, LAPTOP, BOB = TOWN.device("alice"), TOWN.device("alice"), TOWN.device("bob")
KEY = registration_key("alice@home.example")


@pytest.fixture
def store() -> RecordStore:
    return RecordStore()


def put(store: RecordStore, device: Device, record: Record, unix: float = UNIX) -> bool:
    return store.put(record, device.certificate, unix)


def refused(status: int, action: Callable[[], object]) -> None:
    with pytest.raises(RemoteError) as caught:
        action()
    assert caught.value.status == status


def test_one_entry_for_each_device(store: RecordStore) -> None:
    records = [ALICE.record(), LAPTOP.record()]
    assert put(store, ALICE, records[0])
    assert put(store, LAPTOP, records[1])
    assert put(store, ALICE, newer := ALICE.record(2))
    assert sorted(store.get(REGISTRATION, KEY, UNIX), key=repr) == sorted([newer, records[1]], key=repr)
    assert store.get(NAME, KEY, UNIX) == []
    assert len(store.records(UNIX)) == len(store) == 2


def test_the_same_again_changes_nothing_and_an_old_sequence_is_refused(store: RecordStore) -> None:
    assert put(store, ALICE, record := ALICE.record(5))
    assert not put(store, ALICE, record)
    refused(409, lambda: put(store, ALICE, ALICE.record(5, expiry=UNIX + 300)))
    refused(409, lambda: put(store, ALICE, ALICE.record(4)))
    assert store.get(REGISTRATION, KEY, UNIX) == [record]


def test_what_was_withdrawn_does_not_come_back(store: RecordStore) -> None:
    first = ALICE.record(1)
    put(store, ALICE, first)
    put(store, ALICE, ALICE.record(2, body=None, expiry=UNIX + 10))
    assert [record.withdrawn for record in store.get(REGISTRATION, KEY, UNIX)] == [True]
    refused(409, lambda: put(store, ALICE, first, UNIX + 20))
    assert store.get(REGISTRATION, KEY, UNIX + 20) == []
    refused(409, lambda: put(store, ALICE, first, UNIX + 599))
    store.expire(UNIX + 600)
    assert len(store) == 0


def test_entries_end_with_their_expiry(store: RecordStore) -> None:
    put(store, ALICE, ALICE.record(1))
    put(store, ALICE, ALICE.record(2, expiry=UNIX + 900), UNIX + 300)
    assert len(store.get(REGISTRATION, KEY, UNIX + 899)) == 1
    assert store.get(REGISTRATION, KEY, UNIX + 900) == []
    while (deadline := store.next_expiry()) is not None:
        store.expire(deadline)
    assert (len(store), store._places, store._per_author, store._expiries) == (0, {}, {}, [])


def test_a_key_holds_a_bounded_number(store: RecordStore) -> None:
    for _ in range(KINDS[REGISTRATION].entries_per_key_max):
        device = TOWN.device("alice")
        put(store, device, device.record())
    refused(507, lambda: put(store, ALICE, ALICE.record()))
    assert put(store, device, device.record(2))


def test_an_author_holds_a_bounded_number(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS_PER_AUTHOR_MAX", 3)
    for number in range(3):
        put(store, ALICE, ALICE.record(kind=MAILBOX, key=mailbox_key(str(number))))
    refused(507, lambda: put(store, ALICE, ALICE.record(kind=MAILBOX, key=mailbox_key("3"))))
    assert put(store, BOB, BOB.record(kind=MAILBOX, key=mailbox_key("3")))


def test_a_store_holds_a_bounded_number_until_some_expire(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS_MAX", 2)
    put(store, ALICE, ALICE.record())
    put(store, LAPTOP, LAPTOP.record(expiry=UNIX + 700))
    refused(507, lambda: put(store, BOB, BOB.record()))
    assert put(store, BOB, BOB.record(expiry=UNIX + 900), UNIX + 600)
    assert len(store) == 2


def test_only_the_owner_deletes_from_a_mailbox(store: RecordStore) -> None:
    key = mailbox_key("bob@home.example")
    letter = ALICE.record(kind=MAILBOX, key=key, body=b"sealed")
    put(store, ALICE, letter)
    refused(403, lambda: store.delete_from_mailbox(key, ALICE.node_key.node_id, ALICE.certificate))
    store.delete_from_mailbox(key, ALICE.node_key.node_id, BOB.certificate)
    store.delete_from_mailbox(key, LAPTOP.node_key.node_id, BOB.certificate)
    assert store.get(MAILBOX, key, UNIX) == store.records(UNIX) == []
    assert not put(store, ALICE, letter)
    assert store.get(MAILBOX, key, UNIX) == []
    put(store, ALICE, second := ALICE.record(2, kind=MAILBOX, key=key, body=b"another"))
    assert store.get(MAILBOX, key, UNIX) == [second]


_DEVICES = [TOWN.device("alice") for _ in range(3)]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 60), st.booleans(), st.integers(0, 20))))
def test_against_a_plain_model(steps: list[tuple[int, int, int, bool, int]]) -> None:
    """The newest sequence wins, nothing outlives its expiry, and no sequence goes back before all said has expired."""
    store, unix = RecordStore(), UNIX
    model: dict[int, tuple[Record, int]] = {}
    for who, sequence, lifetime, withdrawn, wait in steps:
        unix += wait
        model = {each: held for each, held in model.items() if held[1] > unix}
        record = _DEVICES[who].record(sequence, expiry=unix + lifetime, body=None if withdrawn else b"")
        held = model.get(who)
        if held is None or sequence > held[0].sequence:
            assert store.put(record, _DEVICES[who].certificate, unix)
            model[who] = (record, max(record.expiry, held[1] if held else 0))
        elif record == held[0]:
            assert not store.put(record, _DEVICES[who].certificate, unix)
        else:
            refused(409, lambda who=who, record=record, unix=unix: put(store, _DEVICES[who], record, unix))  # type: ignore[misc]
        expected = [held[0] for held in model.values() if held[0].expiry > unix]
        assert sorted(map(repr, store.get(REGISTRATION, KEY, unix))) == sorted(map(repr, expected))
        assert len(store) == len(model)


NODE_ID, ADDRESS = bytes(20), ("192.0.2.1", 4000)


def test_a_token_is_good_for_its_asker_and_for_a_while() -> None:
    tokens = WriteTokens(Chance.seeded(1))
    token = tokens.issue(NODE_ID, ADDRESS, 0.0)
    assert len(token) == module.TOKEN_BYTES
    for now in (0.0, TOKEN_WINDOW_SECONDS, 2 * TOKEN_WINDOW_SECONDS - 1):
        tokens.check(token, NODE_ID, ADDRESS, now)
    refused(401, lambda: tokens.check(token, NODE_ID, ADDRESS, 2 * TOKEN_WINDOW_SECONDS))
    refused(401, lambda: tokens.check(token, b"x" * 20, ADDRESS, 0.0))
    refused(401, lambda: tokens.check(token, NODE_ID, ("192.0.2.2", 4000), 0.0))
    refused(401, lambda: tokens.check(token, NODE_ID, ("192.0.2.1", 4001), 0.0))
    refused(401, lambda: tokens.check(b"", NODE_ID, ADDRESS, 0.0))
    refused(401, lambda: WriteTokens(Chance.seeded(2)).check(token, NODE_ID, ADDRESS, 0.0))


def test_one_person_cannot_fill_a_relay_place_with_many_devices(store: RecordStore) -> None:
    limit = KINDS[RELAY].entries_per_person_max
    devices = [TOWN.device("mallory") for _ in range(limit + 1)]
    for device in devices[:limit]:
        put(store, device, device.record(kind=RELAY, key=KEY))
    refused(507, lambda: put(store, devices[-1], devices[-1].record(kind=RELAY, key=KEY)))
    put(store, devices[0], devices[0].record(2, kind=RELAY, key=KEY))
    put(store, BOB, BOB.record(kind=RELAY, key=KEY))


def test_records_of_a_kind_far_from_here_are_let_go() -> None:
    town = Town()
    store, device = RecordStore(), town.device()
    near, far = (device.record(kind=NAME, key=bytes([first]) + bytes(19), body=b"") for first in (1, 128))
    other = device.record(key=bytes([129]) + bytes(19))
    for record in (near, far, other):
        store.put(record, device.certificate, UNIX)
    assert store.let_go(NAME, 0, 1 << 154) == 1
    assert store.get(NAME, near.key, UNIX) == [near]
    assert store.get(NAME, far.key, UNIX) == []
    assert store.get(REGISTRATION, other.key, UNIX) == [other]
    assert len(store) == 2
    assert len(store._expiries) == 2


def test_a_record_renewed_many_times_stands_once_in_the_order_of_expiry(store: RecordStore) -> None:
    for sequence in range(5):
        put(store, ALICE, ALICE.record(sequence, expiry=UNIX + 300 + sequence))
    assert len(store._expiries) == 1
    store.expire(UNIX + 300)
    assert (len(store), store.next_expiry()) == (1, UNIX + 304)
