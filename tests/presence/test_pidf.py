"""PIDF documents: reading, writing, several devices of one person."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.presence.pidf import ACTIVITIES, CLOSED, SERVICES_MAX, Presence, Service, compose, parse_pidf

BARESIP = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
 xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@home.example">
  <dm:person id="p4159"><rpid:activities><rpid:away/><rpid:made-up/></rpid:activities></dm:person>
  <tuple id="t4109"><status><basic>open</basic></status><contact>sip:alice@127.0.0.1:5070</contact></tuple>
</presence>"""


def test_a_phones_document_is_read() -> None:
    assert parse_pidf(BARESIP) == Presence((Service("t4109", True),), ("away",))


def test_a_written_document_is_read_again_and_tells_no_address_of_a_phone() -> None:
    state = Presence((Service("b", False), Service("a", True, "kitchen <1>")), ("busy",), ("back & forth",))
    data = state.write("bob@home.example")
    assert parse_pidf(data) == Presence((state.services[1], state.services[0]), state.activities, state.notes)
    assert b'entity="sip:bob@home.example"' in data
    assert b"<contact>sip:bob@home.example</contact>" in data
    assert b"127.0.0.1" not in parse_pidf(BARESIP).write("alice@home.example")
    assert data.index(b">open<") < data.index(b">closed<")


def test_nobody_is_closed() -> None:
    assert b"<basic>closed</basic>" in CLOSED.write("bob@home.example")
    assert not CLOSED.is_open


def test_a_person_is_open_if_any_device_is() -> None:
    away = Presence((Service("t0", False),), ("sleeping",))
    here = Presence((Service("t0", True),), ("working",))
    both = compose([away, here])
    assert both.is_open
    assert both.activities == ("working",)
    assert len({service.id for service in both.services}) == 2
    assert not compose([away, away]).is_open
    assert compose([]) == CLOSED


@pytest.mark.parametrize("letters", [1, 58, 60, 62])
def test_ids_that_look_like_numbered_ones_get_numbers_too(letters: int) -> None:
    name = "x" * letters
    ids = [name, *(f"{name}.{number}" for number in range(1, 4)), name, f"{name}.2", name]
    found = compose([Presence(tuple(Service(each[:64], True) for each in ids))])
    named = [service.id for service in found.services]
    assert len(set(named)) == len(ids)
    assert all(len(each) <= 64 for each in named)
    assert parse_pidf(found.write("bob@home.example")) == found


def test_bounds() -> None:
    def document(count: int) -> bytes:
        tuples = "".join(f'<tuple id="a{n}"><status><basic>open</basic></status></tuple>' for n in range(count))
        return f'<presence xmlns="urn:ietf:params:xml:ns:pidf">{tuples}</presence>'.encode()

    assert len(parse_pidf(document(SERVICES_MAX)).services) == SERVICES_MAX
    with pytest.raises(RemoteError) as caught:
        parse_pidf(document(SERVICES_MAX + 1))
    assert caught.value.status == 413
    assert len(compose([parse_pidf(document(SERVICES_MAX))] * 2).services) == SERVICES_MAX


@pytest.mark.parametrize("data", [b"<presence/>", b"<x/>", b'<presence xmlns="urn:x"/>'])
def test_other_documents_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_pidf(data)


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), st.booleans()),
        max_size=4,
        unique_by=lambda e: e[0],
    ),
    st.lists(st.sampled_from(sorted(ACTIVITIES)), max_size=4, unique=True),
)
def test_round_trip(services: list[tuple[str, bool]], activities: list[str]) -> None:
    state = compose([Presence(tuple(Service(*each) for each in services), tuple(activities))])
    again = parse_pidf(state.write("bob@home.example"))
    assert again.activities == state.activities
    assert again.services == (state.services or (Service("nobody", False),))


@given(st.integers(0, len(BARESIP) - 1), st.integers(0, 255))
def test_a_mutated_document_raises_nothing_else(place: int, byte: int) -> None:
    data = bytearray(BARESIP)
    data[place] = byte
    with contextlib.suppress(RemoteError):
        compose([parse_pidf(bytes(data))]).write("bob@home.example")
