"""Requests that wait: repeated once, given up in time, answered by the right node only; and their parsers."""

import contextlib
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.contact import Contact
from overlay.rpc import (
    FIND,
    PADDED_BYTES,
    PENDING_MAX,
    PING,
    Answer,
    PendingRequests,
    make_answer,
    parse_request,
)
from p2psip.base.chance import Chance
from p2psip.base.codec import pack
from p2psip.base.errors import LocalError, RemoteError

SEEN = ("192.0.2.9", 5000)


class Known:
    """What is remembered of a node."""

    token = b""


class Asker:
    """The table under test, and all that came out of it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ended: list[Answer | None] = []
        self.late: list[Contact] = []
        self.known: defaultdict[bytes, Known] = defaultdict(Known)
        self.table = PendingRequests(
            Chance.seeded(1), lambda _node_key, _address, payload: self.sent.append(payload), self.known.get
        )

    def ask(
        self,
        contact: Contact,
        now: float = 0.0,
        method: int = PING,
        certificate: bytes = b"certificate",
        *,
        wants: bool = True,
    ) -> None:
        """Ask, without arguments."""
        self.table.ask(
            contact,
            method,
            [],
            lambda _contact, answer: self.ended.append(answer),
            wants=wants,
            certificate=certificate,
            sequence=7,
            now=now,
            late=self.late.append,
        )

    def receive(self, contact: Contact, payload: bytes, now: float) -> bool:
        """Hand an answer over; whether somebody had waited for it."""
        self.known[contact.node_key].token += b""  # its frame was opened
        found = self.table.receive(contact.node_key, payload, now)
        if found is not None:
            found[2](found[0], found[1])
        return found is not None

    def handle_timeout(self, now: float) -> None:
        """Serve the timers as the peer does."""
        for contact, callback in self.table.handle_timeout(now):
            callback(contact, None)


def peer(number: int = 1) -> Contact:
    return Contact(bytes([number % 256, number // 256]) * 16, ("192.0.2.1", 5000))


def answer_to(payload: bytes, *, token: bytes = b"token", result: object = None) -> bytes:
    return make_answer(parse_request(payload), 200, SEEN, token, None, 3, result)


def test_a_request_says_what_was_asked() -> None:
    asker = Asker()
    asker.ask(peer(), method=FIND)
    request = parse_request(asker.sent[0])
    assert (request.method, request.wants_certificate, request.token) == (FIND, True, b"")
    assert (request.sequence, request.certificate) == (7, b"certificate")
    assert PADDED_BYTES - 3 <= len(asker.sent[0]) <= PADDED_BYTES


def test_who_has_asked_us_is_greeted_without_the_certificate_that_it_got_with_our_answer() -> None:
    asker = Asker()
    for method in (PING, FIND):
        asker.ask(peer(), method=method, wants=False)
    assert [parse_request(payload).certificate for payload in asker.sent] == [b"", b"certificate"]
    assert len(asker.sent[0]) < 30


def test_a_certificate_that_almost_fills_the_padded_size_is_sent_too() -> None:
    asker = Asker()
    for size in range(PADDED_BYTES - 40, PADDED_BYTES + 2):
        asker.ask(peer(), certificate=bytes(size))
    assert max(len(payload) for payload in asker.sent) > PADDED_BYTES


def test_an_answer_ends_the_request_once() -> None:
    asker = Asker()
    asker.ask(peer())
    answer = answer_to(asker.sent[0])
    assert asker.receive(peer(), answer, 0.05)
    assert not asker.receive(peer(), answer, 0.06)
    assert asker.ended == [Answer(200, SEEN, b"token", None, 3, None)]
    assert (len(asker.table), asker.table.poll_timeout()) == (0, None)


def test_with_a_token_a_request_is_short_and_shows_no_certificate() -> None:
    asker = Asker()
    asker.ask(peer())
    asker.receive(peer(), answer_to(asker.sent[0]), 0.05)
    asker.ask(peer())
    request = parse_request(asker.sent[1])
    assert (request.token, request.certificate) == (b"token", b"")
    assert len(asker.sent[1]) < 40


def test_an_answer_of_somebody_else_is_nobodys() -> None:
    asker = Asker()
    asker.ask(peer(1))
    assert not asker.receive(peer(2), answer_to(asker.sent[0]), 0.05)
    assert (asker.ended, len(asker.table)) == ([], 1)


def test_an_unanswered_request_is_repeated_once_and_then_given_up() -> None:
    """One early repetition after 1 s, the end after 2.5 s: nothing was measured yet (RFC 6298 §2.1)."""
    asker, contact = Asker(), peer()
    asker.ask(contact, 10.0)
    assert asker.table.poll_timeout() == 11.0
    asker.handle_timeout(10.999)
    assert len(asker.sent) == 1
    asker.handle_timeout(11.0)
    assert asker.sent[0] == asker.sent[1]
    assert asker.late == [contact]
    assert asker.table.poll_timeout() == pytest.approx(12.5)
    asker.handle_timeout(12.5)
    assert (asker.ended, len(asker.sent), contact.failures) == ([None], 2, 1)
    assert asker.table.poll_timeout() is None


def test_an_answer_after_the_end_is_dropped() -> None:
    asker = Asker()
    asker.ask(peer(), 0.0)
    asker.handle_timeout(1.0)
    asker.handle_timeout(2.5)
    assert not asker.receive(peer(), answer_to(asker.sent[0]), 2.6)
    assert asker.ended == [None]


def test_only_answers_to_requests_sent_once_are_measured() -> None:
    """Karn's rule, RFC 6298 §3."""
    asker = Asker()
    asker.ask(peer(), 0.0)
    asker.handle_timeout(1.0)
    asker.receive(peer(), answer_to(asker.sent[0]), 1.1)
    assert asker.table.round_trips.retransmit_seconds == 1.0
    asker.ask(peer(), 2.0)
    asker.receive(peer(), answer_to(asker.sent[-1]), 2.1)
    assert asker.table.round_trips.retransmit_seconds == pytest.approx(0.3)
    asker.ask(peer(), 3.0)
    assert asker.table.poll_timeout() == pytest.approx(3.3)


def test_an_answer_forgives_earlier_failures() -> None:
    asker, contact = Asker(), peer()
    contact.failures = 1
    asker.ask(contact, 0.0)
    asker.receive(contact, answer_to(asker.sent[0]), 0.25)
    assert (contact.failures, contact.rtt, contact.last_seen) == (0, 0.25, 0.25)


def test_one_request_over_the_bound_is_refused() -> None:
    asker = Asker()
    for _ in range(PENDING_MAX):
        asker.ask(peer())
    with pytest.raises(LocalError):
        asker.ask(peer())
    assert (len(asker.table), len(asker.sent)) == (PENDING_MAX, PENDING_MAX)


def test_a_node_that_is_forgotten_takes_its_token_along() -> None:
    asker = Asker()
    for number in (0, 1):
        asker.ask(peer(number))
        asker.receive(peer(number), answer_to(asker.sent[-1]), 0.0)
    del asker.known[peer(0).node_key]
    for number, token in ((0, b""), (1, b"token"), (2, b"")):
        asker.ask(peer(number))
        assert parse_request(asker.sent[-1]).token == token


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.binary(max_size=24) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=20,
)


@given(st.one_of(st.binary(max_size=80), VALUES.map(pack)))
def test_any_payload_is_a_request_or_refused(body: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_request(b"\x01" + body)


@given(st.one_of(st.binary(max_size=80), VALUES.map(pack)))
def test_any_payload_is_an_answer_or_refused(body: bytes) -> None:
    asker = Asker()
    asker.ask(peer())
    with contextlib.suppress(RemoteError):
        assert asker.table.receive(peer().node_key, b"\x02" + body, 0.1) is None
    assert len(asker.table) == 1


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_mutated_answer_is_an_answer_or_refused(place: int, change: int) -> None:
    asker = Asker()
    asker.ask(peer())
    answer = bytearray(answer_to(asker.sent[0]))
    answer[1 + place % (len(answer) - 1)] ^= change
    with contextlib.suppress(RemoteError):
        asker.table.receive(peer().node_key, bytes(answer), 0.1)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_an_answer_that_saw_us_at_no_port_is_refused(port: int) -> None:
    asker = Asker()
    asker.ask(peer())
    number = parse_request(asker.sent[0]).id
    with pytest.raises(RemoteError):
        asker.table.receive(peer().node_key, b"\x02" + pack([number, 200, [bytes(4), port], b"", None, 1, None]), 0.1)
