"""A registration driven by hand: refreshing, 423, Retry-After, backoff, the address that the provider sees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.chance import Chance
from p2psip.sip.build import make_response
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri
from p2psip.trunks.registration import (
    EXPIRES_SECONDS_MAX,
    MOVE_SECONDS_MIN,
    REFUSED_SECONDS_FIRST,
    RETRY_AFTER_SECONDS_MAX,
    RETRY_SECONDS_FIRST,
    RETRY_SECONDS_MAX,
    Registration,
    State,
    retry_after,
)

CONTACT = "<sip:4930123@192.0.2.1:5080>"
NOW = 100.0


@pytest.fixture
def core() -> Registration:
    address = SipUri.parse("sip:4930123@provider.example")
    found = Registration(address, SipUri.parse("sip:provider.example"), 600, Chance.seeded(1))
    found.begin(NOW)
    return found


def _answer(request: Request, status: int, *headers: tuple[str, str], via: str = "") -> Response:
    request.headers.set("Via", f"SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bKx{via}")
    return make_response(request, status, to_tag="r", headers=headers)


def _registered(core: Registration, expires: int = 600) -> None:
    core.take(_answer(core.request(CONTACT), 200, ("Contact", f"{CONTACT};expires={expires}")), NOW)


def test_it_registers_at_once_and_refreshes_before_the_end(core: Registration) -> None:
    assert core.due == NOW
    request = core.request(CONTACT)
    assert str(request.uri) == "sip:provider.example"
    assert request.headers.all("Contact") == [f"{CONTACT};expires=600"]
    core.take(_answer(request, 200, ("Contact", f"{CONTACT};expires=300")), NOW)
    assert core.state is State.REGISTERED
    assert core.is_registered(NOW + 299)
    assert not core.is_registered(NOW + 300)
    assert core.due is not None
    assert NOW + 224 < core.due < NOW + 271


def test_numbers_go_up_within_one_call_id(core: Registration) -> None:
    first, second = core.request(CONTACT), core.request(CONTACT)
    assert first.call_id == second.call_id
    assert second.cseq.number == first.cseq.number + 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("Contact", f"<sip:other@192.0.2.9>;expires=50, {CONTACT};expires=70")], 70),
        ([("Contact", "<sip:4930123@203.0.113.5:9>;expires=80")], 80),
        ([("Contact", CONTACT), ("Expires", "90")], 90),
        ([], 600),
        ([("Contact", f"{CONTACT};expires=99999999999")], EXPIRES_SECONDS_MAX),
    ],
)
def test_what_was_granted(core: Registration, headers: list[tuple[str, str]], seconds: int) -> None:
    core.take(_answer(core.request(CONTACT), 200, *headers), NOW)
    assert core.expires_at == NOW + seconds


def test_a_200_that_keeps_nothing_is_a_failure(core: Registration) -> None:
    _registered(core, expires=0)
    assert core.state is State.WAITING
    assert "keeps no binding" in core.words


def test_423_is_followed_once_it_makes_sense(core: Registration) -> None:
    core.take(_answer(core.request(CONTACT), 423, ("Min-Expires", "1800")), NOW)
    assert core.due == NOW
    request = core.request(CONTACT)
    assert request.expires == 1800
    core.take(_answer(request, 423, ("Min-Expires", "1800")), NOW)
    assert core.state is State.WAITING
    assert "423" in core.words


def test_a_shortest_time_beyond_the_bound_is_not_followed(core: Registration) -> None:
    core.take(_answer(core.request(CONTACT), 423, ("Min-Expires", str(EXPIRES_SECONDS_MAX + 1))), NOW)
    assert core.state is State.WAITING


def test_retry_after_is_kept_to(core: Registration) -> None:
    core.take(_answer(core.request(CONTACT), 503, ("Retry-After", "77 (maintenance);duration=3")), NOW)
    assert core.words == "the provider says 503 Service Unavailable"
    assert core.due is not None
    assert NOW + 77 <= core.due <= NOW + 77 * 1.1


def test_retry_after_has_a_bound() -> None:
    response = Response(503, "x")
    response.headers.add("Retry-After", str(RETRY_AFTER_SECONDS_MAX + 1))
    assert retry_after(response) == RETRY_AFTER_SECONDS_MAX


@given(st.text(max_size=30))
def test_any_retry_after_is_a_number_or_nothing(text: str) -> None:
    response = Response(503, "x")
    response.headers.add("Retry-After", text)
    found = retry_after(response)
    assert found is None or 0 <= found <= RETRY_AFTER_SECONDS_MAX


def test_failures_wait_ever_longer_with_jitter_and_a_bound(core: Registration) -> None:
    waits = []
    for _ in range(12):
        core.request(CONTACT)
        core.fail("nobody answers", NOW)
        assert core.due is not None
        waits.append(core.due - NOW)
    assert 0.5 * RETRY_SECONDS_FIRST <= waits[0] <= RETRY_SECONDS_FIRST
    assert 0.5 * RETRY_SECONDS_MAX <= waits[-1] <= RETRY_SECONDS_MAX
    assert len({round(wait, 3) for wait in waits}) == len(waits)
    core.take(_answer(core.request(CONTACT), 200, ("Contact", CONTACT)), NOW)
    core.fail("nobody answers", NOW)
    assert core.due is not None
    assert core.due - NOW <= RETRY_SECONDS_FIRST, "success forgets what failed before"


def test_a_refusal_is_not_repeated_soon(core: Registration) -> None:
    response = _answer(core.request(CONTACT), 403, ("Warning", '399 provider "account closed"'))
    core.take(response, NOW)
    assert core.words == "the provider says 403 Forbidden: account closed"
    assert core.due is not None
    assert core.due >= NOW + 0.5 * REFUSED_SECONDS_FIRST


def test_a_redirection_is_not_followed(core: Registration) -> None:
    core.take(_answer(core.request(CONTACT), 302, ("Contact", "<sip:evil.example>")), NOW)
    assert "not followed" in core.words


def test_what_was_granted_holds_while_a_refresh_fails(core: Registration) -> None:
    _registered(core)
    core.request(CONTACT)
    core.fail("nobody answers", NOW + 500)
    assert core.is_registered(NOW + 599)


def test_the_address_that_the_provider_sees_is_learnt_and_moves_the_contact(core: Registration) -> None:
    response = _answer(core.request(CONTACT), 200, ("Contact", CONTACT), via=";received=203.0.113.5;rport=40000")
    core.take(response, NOW)
    assert core.learnt == ("203.0.113.5", 40000)
    public = "<sip:4930123@203.0.113.5:40000>"
    assert core.move(public, NOW + 1)
    assert core.due == NOW + 1
    assert core.request(public).headers.all("Contact") == [f"{public};expires=600", f"{CONTACT};expires=0"]
    assert not core.move(CONTACT, NOW + MOVE_SECONDS_MIN), "a NAT that changes its mind is not followed all the time"


@pytest.mark.parametrize("via", [";rport", ";rport=0", ";rport=x", ";rport=99999999999", ";rport=000001" + "9" * 5_000])
def test_an_rport_that_is_none_teaches_nothing(core: Registration, via: str) -> None:
    core.take(_answer(core.request(CONTACT), 200, ("Contact", CONTACT), via=via), NOW)
    assert core.learnt is None


def test_the_farewell_ends_what_there_is(core: Registration) -> None:
    assert core.farewell() is None
    _registered(core)
    farewell = core.farewell()
    assert farewell is not None
    assert farewell.expires == 0
    assert farewell.headers.all("Contact") == [f"{CONTACT};expires=0"]
    assert not core.is_registered(NOW + 1)
