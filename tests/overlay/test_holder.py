"""The answering side: what a holder says, what it refuses with which status, and how long its answers may be."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from overlay import rpc
from overlay.buckets import RoutingTable
from overlay.contact import Contact
from overlay.holder import ANSWER_BYTES_MAX, CONTACTS_PER_ANSWER, RECORDS_PER_STORE_MAX, Holder, named
from overlay.records import (
    NAME,
    REGISTRATION,
    RELAY,
    Record,
    decode_record,
    decode_together,
    encode_record,
    encode_together,
)
from overlay.relay_record import announcement_keys
from overlay.store import TOKEN_WINDOW_SECONDS
from p2psip.base.chance import Chance
from p2psip.base.codec import pack, unpack
from p2psip.base.errors import RemoteError
from tests.overlay.devices import UNIX, Device, Town

SOURCE = ("192.0.2.7", 5000)
FRAME_BYTES = 65
METHODS = (rpc.PING, rpc.FIND, rpc.STORE, rpc.CONFIGURATION)


class Desk:
    """One holder with forty peers in its table, and somebody who asks it."""

    def __init__(self) -> None:
        self.town = Town()
        self.alice, self.host = self.town.device("alice"), self.town.device("host")
        table = RoutingTable(int.from_bytes(self.host.node_key.node_id, "big"))
        for number in range(40):
            table.add(Contact(bytes([number]) * 32, (f"10.0.0.{number}", 5000)))
        self.holder = Holder(table, self.town.membership(), self.host.certificate.der, Chance.seeded(2))

    source = SOURCE

    def ask(
        self, method: int, *arguments: object, token: bytes = b"", wants: bool = False, now: float = 0.0
    ) -> tuple[int, bytes, bytes | None, object]:
        """Status, token, certificate and result of the answer."""
        payload = b"\x01" + pack([5, method, wants, token, 1, b"", list(arguments)])
        served = self.holder.answer(self.alice.node_key.public, payload, self.source, now, UNIX)
        number, status, _seen, given_token, certificate, _sequence, result, _flags = unpack(served.payload[1:])
        assert number == 5
        return status, given_token, certificate, result

    def token(self) -> bytes:
        """A write token as every answer has it."""
        return self.ask(rpc.PING)[1]

    def store(self, record: Record) -> tuple[int, object]:
        """Status and result of storing this, with a good token."""
        status, _token, _certificate, result = self.ask(rpc.STORE, [encode_record(record)], token=self.token())
        return status, result


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_ping(desk: Desk) -> None:
    assert desk.ask(rpc.PING)[0] == 200


def test_the_certificate_is_given_to_those_who_want_it(desk: Desk) -> None:
    assert desk.ask(rpc.PING, bytes(400), wants=True)[2] == desk.host.certificate.der
    assert desk.ask(rpc.PING, bytes(400))[2] is None


def test_records_are_not_hidden_from_who_must_prove_its_address_first(desk: Desk) -> None:
    """Its NAT gave it another port since it got its token: it is told so, and asks again with the token that it gets."""
    record = desk.alice.record()
    desk.store(record)
    status, token, _certificate, _result = desk.ask(rpc.FIND, record.key, True, token=bytes(8))
    assert (status, bool(token)) == (401, True)
    status, _token, _certificate, result = desk.ask(rpc.FIND, record.key, True, token=token)
    assert isinstance(result, list)
    assert (status, result[1]) == (200, [encode_record(record)])


def test_find_gives_the_closest_contacts(desk: Desk) -> None:
    status, _token, _certificate, result = desk.ask(rpc.FIND, bytes(20), False, token=desk.token())
    closest = [contact.pack() for contact in desk.holder.table.find_closest(0, CONTACTS_PER_ANSWER)]
    assert (status, result) == (200, [closest, []])


def test_find_gives_the_contacts_around_another_point_if_asked_so(desk: Desk) -> None:
    point = bytes([255]) * 20
    _status, _token, _certificate, result = desk.ask(rpc.FIND, bytes(20), False, [point], token=desk.token())
    assert isinstance(result, list)
    assert result[0] == [contact.pack() for contact in named(desk.holder.table, int.from_bytes(point, "big"))]
    assert result[0] != [contact.pack() for contact in named(desk.holder.table, 0)]


def test_who_owes_an_answer_is_named_only_if_there_are_too_few_others() -> None:
    table = RoutingTable(0)
    peers = [Contact(bytes([number]) * 32, ("10.0.0.1", 5000 + number)) for number in range(1, 2 * CONTACTS_PER_ANSWER)]
    for contact in peers:
        table.add(contact)
    silent = table.find_closest(0, 1)[0]
    silent.failures = 1
    assert silent not in named(table, 0)
    assert len(named(table, 0)) == CONTACTS_PER_ANSWER
    for contact in peers:
        contact.failures = 1
    assert silent in named(table, 0)


def test_a_stored_record_is_found(desk: Desk) -> None:
    record = desk.alice.record()
    assert desk.store(record) == (200, None)
    assert desk.store(record) == (200, None)
    _status, _token, _certificate, result = desk.ask(rpc.FIND, record.key, True, token=desk.token())
    assert isinstance(result, list)
    assert result[1] == [encode_record(record)]


def test_a_registration_and_its_name_fit_the_answer_to_a_stranger_with_both_certificates(desk: Desk) -> None:
    """Else each stranger that a lookup meets would cost two round trips."""
    records = [desk.alice.record(), desk.alice.record(kind=NAME, body=b"", expiry=UNIX + 86_400)]
    for record in records:
        desk.store(record)
    pad = rpc.PADDED_BYTES - len(pack([5, rpc.FIND, True, b"", 1, b"", [records[0].key, True, b""]]))
    status, _token, certificate, result = desk.ask(rpc.FIND, records[0].key, True, bytes(pad), wants=True)
    assert (status, certificate) == (200, desk.host.certificate.der)
    assert isinstance(result, list)
    assert decode_together(result[1]) == records


def test_a_certificate_is_sent_once_for_the_registration_and_the_name_of_a_device(desk: Desk) -> None:
    first, second = sorted((desk.alice, desk.town.device("alice")), key=lambda each: each.certificate.node_id)
    names = [each.record(kind=NAME, body=b"", expiry=UNIX + 86_400) for each in (second, first)]
    for record in (first.record(), second.record(), *names):
        desk.store(record)
    _status, _token, _certificate, result = desk.ask(rpc.FIND, first.record().key, True, token=desk.token())
    assert isinstance(result, list)
    assert result[1] == encode_together([first.record(), names[1], second.record(), names[0]])
    assert [decode_record(each).certificate for each in result[1]] == [
        first.certificate.der, b"", second.certificate.der, b""
    ]  # fmt: skip


def test_our_own_announcement_is_told_though_not_held_and_first_to_who_asks_over_ipv6(desk: Desk) -> None:
    own, others = desk.host, [desk.town.device(f"other{number}") for number in range(40)]
    key = announcement_keys(desk.town.overlay, own.node_key.node_id)[0]
    record = own.record(kind=RELAY, key=key)
    beside = [each for each in others if key in announcement_keys(desk.town.overlay, each.node_key.node_id)]
    assert len(beside) > 2
    for each in beside:
        assert desk.store(each.record(kind=RELAY, key=key)) == (200, None)
    desk.holder.note_own(record)
    desk.source = ("2001:db8::7", 5000)
    token = desk.token()
    firsts = [desk.ask(rpc.FIND, key, True, token=token)[3] for _ in range(8)]
    assert all(isinstance(each, list) and each[1][0] == encode_record(record) for each in firsts)
    desk.source = SOURCE
    token = desk.token()
    firsts = [desk.ask(rpc.FIND, key, True, token=token)[3] for _ in range(20)]
    assert not all(isinstance(each, list) and each[1][0] == encode_record(record) for each in firsts)


def test_a_store_without_a_token_is_refused(desk: Desk) -> None:
    status, token, _certificate, _result = desk.ask(rpc.STORE, [encode_record(desk.alice.record())])
    assert (status, len(desk.holder.store)) == (401, 0)
    assert desk.ask(rpc.STORE, [encode_record(desk.alice.record())], token=token)[0] == 200


def test_a_token_that_is_too_old_is_refused(desk: Desk) -> None:
    token = desk.token()
    assert desk.ask(rpc.STORE, [encode_record(desk.alice.record())], token=token, now=TOKEN_WINDOW_SECONDS)[0] == 200
    assert (
        desk.ask(rpc.STORE, [encode_record(desk.alice.record(2))], token=token, now=2 * TOKEN_WINDOW_SECONDS)[0] == 401
    )


def foreign(_town: Town) -> Device:
    return Town(seed=99).device("alice")


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda desk, good: replace(good, signature=bytes([good.signature[0] ^ 1]) + good.signature[1:]), 403),
        (lambda desk, good: replace(good, body=bytes([good.body[0]]) + good.body[1:-1] + b"\x00"), 403),
        (lambda desk, good: desk.town.device("mallory").record(key=good.key), 403),
        (lambda desk, good: desk.alice.record(expiry=UNIX + 3_600), 400),
        (lambda desk, good: desk.alice.record(expiry=UNIX), 410),
        (lambda desk, good: foreign(desk.town).record(), 403),
        (lambda desk, good: replace(good, kind="gossip"), 400),
    ],
)
def test_what_is_not_true_is_refused_and_not_held(desk: Desk, spoil: object, status: int) -> None:
    assert callable(spoil)
    assert desk.store(spoil(desk, desk.alice.record()))[0] == status
    assert len(desk.holder.store) == 0


def test_an_old_sequence_is_refused(desk: Desk) -> None:
    assert desk.store(desk.alice.record(5))[0] == 200
    assert desk.store(desk.alice.record(4))[0] == 409


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (99, ()),
        (-1, ()),
        (rpc.FIND, ()),
        (rpc.FIND, (bytes(19), True)),
        (rpc.FIND, (bytes(20), 1)),
        (rpc.STORE, ("text",)),
        (rpc.STORE, ([],)),
        (rpc.STORE, ()),
    ],
)
def test_what_is_not_known_is_refused(desk: Desk, method: int, arguments: tuple[object, ...]) -> None:
    assert desk.ask(method, *arguments)[0] == 405


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.binary(max_size=24) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
DESK = Desk()


@given(st.sampled_from(METHODS), st.lists(VALUES, max_size=4), st.booleans(), st.booleans())
def test_any_arguments_are_answered(method: int, arguments: list[object], proved: bool, wants: bool) -> None:
    assert DESK.ask(method, *arguments, token=DESK.token() if proved else b"", wants=wants)[0] in (
        200,
        400,
        405,
        401,
        413,
    )


@given(st.binary(max_size=100))
def test_any_payload_is_answered_or_dropped(payload: bytes) -> None:
    with contextlib.suppress(RemoteError):
        DESK.holder.answer(DESK.alice.node_key.public, b"\x01" + payload, SOURCE, 0.0, UNIX)


@given(st.sampled_from([*METHODS, 99]), st.integers(0, 900), st.booleans(), st.booleans(), st.binary(max_size=20))
@example(4, 75, True, False, b"\0")
def test_an_unproved_asker_gets_at_most_three_times_what_it_sent(
    method: int, padding: int, wants: bool, wants_records: bool, token: bytes
) -> None:
    """For a datagram whose source address may be false: the frames around both are counted."""
    for record in (DESK.alice.record(1), DESK.alice.record(1, kind="name", expiry=UNIX + 600)):
        DESK.store(record)
    arguments: list[object] = [] if method == rpc.PING else [DESK.alice.record().key, wants_records]
    for pad in ([], [bytes(padding)]):
        payload = b"\x01" + pack([1, method, wants, token, 1, b"", [*arguments, *pad]])
        served = DESK.holder.answer(DESK.alice.node_key.public, payload, SOURCE, 0.0, UNIX)
        assert not served.is_proved
        assert len(served.payload) + FRAME_BYTES <= 3 * (len(payload) + FRAME_BYTES)


def test_an_answer_fits_a_datagram(desk: Desk) -> None:
    for number in range(17):
        device = desk.town.device("alice", seconds=86_400 + number)
        desk.store(device.record())
    payload = b"\x01" + pack([1, rpc.FIND, True, desk.token(), 1, b"", [desk.alice.record().key, True]])
    served = desk.holder.answer(desk.alice.node_key.public, payload, SOURCE, 0.0, UNIX)
    assert served.is_proved
    assert len(served.payload) <= ANSWER_BYTES_MAX


def test_one_record_over_the_bound_of_a_store_is_refused_and_so_is_what_is_none(desk: Desk) -> None:
    """As many as may be stand together; the certificate that they share is sent once."""
    token = desk.token()
    named = [encode_record(desk.alice.record())] * (RECORDS_PER_STORE_MAX + 1)
    assert desk.ask(rpc.STORE, named, token=token)[0] == 400
    assert desk.ask(rpc.STORE, [1], token=token)[0] == 400
    assert desk.ask(rpc.STORE, named[:-1], token=token)[0] == 200


def test_records_that_stand_together_are_held_and_one_that_is_false_harms_no_other(desk: Desk) -> None:
    first, second = desk.alice.record(), desk.alice.record(kind=NAME, body=b"", expiry=UNIX + 86_400)
    together = encode_together([first, replace(second, signature=bytes(64)), second])
    assert len(together[2]) < len(encode_record(second)) - 200
    assert desk.ask(rpc.STORE, together, token=desk.token())[0] == 200
    assert [len(desk.holder.store.get(kind, first.key, UNIX)) for kind in (REGISTRATION, NAME)] == [1, 1]


def test_who_renews_a_record_may_leave_out_the_certificate_that_is_held(desk: Desk) -> None:
    renewal = encode_record(desk.alice.record(2), desk.alice.certificate.der)
    assert desk.ask(rpc.STORE, [renewal], token=desk.token())[0] == 401
    desk.store(desk.alice.record(1))
    assert desk.ask(rpc.STORE, [renewal], token=desk.token())[0] == 200
    assert desk.holder.store.get(REGISTRATION, desk.alice.record().key, UNIX) == [desk.alice.record(2)]
    other = encode_record(replace(desk.town.device("alice").record(3), certificate=b""))
    assert desk.ask(rpc.STORE, [other], token=desk.token())[0] == 403


def test_the_first_of_a_store_decides_the_answer(desk: Desk) -> None:
    first, second = desk.alice.record(), desk.alice.record(kind=NAME, body=b"", expiry=UNIX + 86_400)
    together = encode_together([replace(first, signature=bytes(64)), second])
    assert desk.ask(rpc.STORE, together, token=desk.token())[0] == 403
    assert len(desk.holder.store) == 1


def test_what_did_not_fit_is_counted_and_given_after_the_last_that_was_told(desk: Desk) -> None:
    """Two registrations fill an answer; a person may have sixteen devices, each of which is found."""
    devices = [desk.town.device("alice") for _ in range(5)]
    for device in devices:
        assert desk.store(device.record())[0] == 200
    wanted = [encode_record(each.record()) for each in sorted(devices, key=lambda each: each.certificate.node_id)]
    key, told, after = devices[0].record().key, list[bytes](), b""
    left = 1
    while left:
        more = [[key, after]] if after else []
        _status, _token, _certificate, result = desk.ask(rpc.FIND, key, True, *more, token=desk.token())
        assert isinstance(result, list)
        contacts, records, left = result if len(result) == 3 else (*result, 0)
        told += records
        assert len(told) + left == 5
        assert not (after and contacts)
        after = next(each for each in devices if encode_record(each.record()) == records[-1]).certificate.node_id
    assert told == wanted


def test_two_devices_fit_and_cost_nothing_more(desk: Desk) -> None:
    devices = [desk.town.device("alice") for _ in range(2)]
    for device in devices:
        desk.store(device.record())
    _status, _token, _certificate, result = desk.ask(rpc.FIND, devices[0].record().key, True, token=desk.token())
    assert isinstance(result, list)
    assert [len(each) for each in result[1:]] == [2]


def test_after_the_last_one_comes_nothing(desk: Desk) -> None:
    record = desk.alice.record()
    desk.store(record)
    more = [record.key, desk.alice.certificate.node_id]
    assert desk.ask(rpc.FIND, record.key, True, more, token=desk.token())[3] == [[], []]
