"""The public door: strangers reach the people of the domain, learn nothing of anybody else, and cost little."""

from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls.admission import BLOCK_SECONDS, PROBES_MAX, AdmissionLimits
from p2psip.calls.claims import NOBODY, NOT_VERIFIED
from p2psip.calls.incidents import Incidents
from p2psip.calls.ports import CallSettings
from p2psip.calls.strangers import (
    REFUSAL_SECONDS,
    REQUEST_LINE_BYTES_MAX,
    DomainDoor,
    Strangers,
)
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.uri import SipUri
from tests.calls.elsewhere import DOMAIN, PEOPLE, PUBLIC_PORT, open_door, stranger
from tests.calls.steps import both
from tests.calls.world import Node, world


def kinds(node: Node) -> dict[str, int]:
    """What status says was refused."""
    counts: dict[str, int] = node.server.status()["refused"]["counts"]
    return counts


async def test_a_stranger_calls_one_of_the_domain_and_is_shown_as_not_verified(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        strangers = open_door(w, node)
        caller = await stranger(w, node)
        invite = caller.invitation(f"sip:Alice@{DOMAIN.upper()}")
        invite.headers.add("P-Asserted-Identity", '"The Bank" <sip:bank@bank.example>')
        exchange = caller.sip.start(invite, caller.flow)
        ringing = await phone.invited()
        assert ringing.request.from_.display == f"{NOT_VERIFIED}: Mallory (mallory@elsewhere.example)"
        assert "P-Asserted-Identity" not in ringing.request.headers
        assert strangers.admission.calls == 1
        phone.ring(ringing)
        assert (await exchange.next_response()).status in (100, 180)

        async def answer() -> None:
            here = await phone.answer(ringing)
            assert (await here.ask("BYE")).status == 200

        final = await both(exchange.final_response, answer)
        assert final.status == 200
        await trio.sleep(60)
        assert strangers.admission.calls == 0
        assert node.media.open_legs() == []


@pytest.mark.parametrize("user", ["alice", "nobody", "echo", "1001", "bob"])
async def test_who_is_not_there_and_who_is_nobody_get_one_answer(autojump_clock: MockClock, user: str) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        await w.node("bob", "1002")
        open_door(w, node)
        caller = await stranger(w, node)
        started = trio.current_time()
        response = await caller.first(caller.invitation(f"sip:{user}@{DOMAIN}"))
        assert (response.status, trio.current_time() - started) == (480, REFUSAL_SECONDS)
        names = [name for name, _ in response.headers if name not in ("Via",)]
        assert names == ["From", "To", "Call-ID", "CSeq", "Server", "Content-Length"]


async def test_a_description_that_cannot_be_used_gives_nothing_away(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        await w.phone(node, "alice", 6000)
        open_door(w, node)
        caller = await stranger(w, node)
        for user in ("alice", "nobody"):
            response = await caller.first(caller.invitation(f"sip:{user}@{DOMAIN}", body=b"nonsense"))
            assert response.status == 480


@pytest.mark.parametrize(("status", "told"), [(486, 486), (603, 603), (404, 480), (500, 480)])
async def test_once_a_phone_rings_the_caller_hears_what_a_caller_must(
    autojump_clock: MockClock, status: int, told: int
) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        open_door(w, node)
        caller = await stranger(w, node)
        exchange = caller.sip.start(caller.invitation(f"sip:alice@{DOMAIN}"), caller.flow)
        ringing = await phone.invited()
        phone.ring(ringing)
        phone.refuse(ringing, status)
        response = await exchange.final_response()
        assert (response.status, "Warning" in response.headers) == (told, False)


async def test_a_call_rings_no_longer_than_allowed(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        open_door(w, node, ringing_seconds_max=20.0)
        caller = await stranger(w, node)
        started = trio.current_time()
        exchange = caller.sip.start(caller.invitation(f"sip:alice@{DOMAIN}"), caller.flow)
        phone.ring(await phone.invited())
        assert (await exchange.final_response()).status == 480
        assert 20 <= trio.current_time() - started < 21


@pytest.mark.parametrize("user", ["alice", "nobody"])
async def test_who_hangs_up_before_the_refusal_is_told_so_at_once(autojump_clock: MockClock, user: str) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        open_door(w, node)
        caller = await stranger(w, node)
        started = trio.current_time()
        exchange = caller.sip.start(caller.invitation(f"sip:{user}@{DOMAIN}"), caller.flow)
        assert (await exchange.next_response()).status == 100
        exchange.cancel()
        assert (await exchange.final_response()).status == 487
        assert trio.current_time() - started < 1


async def test_nobody_registers_or_sends_messages_and_everybody_may_ask_what_is_allowed(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        open_door(w, node)
        caller = await stranger(w, node)
        for method in ("REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER"):
            for user in ("alice", "nobody"):
                response = await caller.first(caller.request(method, f"sip:{user}@{DOMAIN}"))
                assert (response.status, response.headers.get("Allow")) == (405, "INVITE, ACK, CANCEL, BYE, OPTIONS")
                assert "WWW-Authenticate" not in response.headers
            await trio.sleep(300)
        answers = [await caller.first(caller.request("OPTIONS", f"sip:{u}@{DOMAIN}")) for u in ("alice", "nobody")]
        assert [answer.status for answer in answers] == [200, 200]
        assert [n for n, _ in answers[0].headers] == [n for n, _ in answers[1].headers]
        request = caller.request("OPTIONS", f"sip:alice@{DOMAIN}")
        request.headers.add("Require", "nonsense")
        assert (await caller.first(request)).status == 420
        assert (await caller.first(caller.request("OPTIONS", f"sip:{DOMAIN}", max_forwards=0))).status == 483


@pytest.mark.parametrize("uri", ["sip:bob@home.example", "sip:alice@127.0.1.1", "sip:5559@provider.example"])
async def test_what_is_for_another_domain_is_not_even_answered(autojump_clock: MockClock, uri: str) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        await w.phone(node, "alice", 6000)
        open_door(w, node)
        caller = await stranger(w, node)
        for method in ("INVITE", "OPTIONS", "REGISTER"):
            with pytest.raises(RemoteError) as caught:
                await caller.first(caller.request(method, uri))
            assert caught.value.status == 408
        assert kinds(node)["scan"] >= 3
        assert node.server.status()["recent"] == []


async def test_who_looks_for_people_is_blocked_and_a_standing_call_of_theirs_is_not(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        door = open_door(w, node)
        caller = await stranger(w, node)
        exchange = caller.sip.start(caller.invitation(f"sip:alice@{DOMAIN}"), caller.flow)
        ringing = await phone.invited()
        phone.ring(ringing)
        for number in range(PROBES_MAX + 1):
            other = await stranger(w, node, 7001 + number)
            other.sip.start(other.invitation(f"sip:{100 + number}@{DOMAIN}"), other.flow)
            await trio.sleep(1)
        with pytest.raises(RemoteError):
            await caller.first(caller.invitation(f"sip:alice@{DOMAIN}"))
        assert kinds(node)["scanner blocked"] == 1
        assert (door.accepts(caller.flow.local[0]), door.accepts("203.0.113.5")) == (False, True)
        far = await stranger(w, node, host="203.0.113.5")
        assert (await far.first(far.request("OPTIONS", f"sip:{DOMAIN}"))).status == 200
        answered = await both(exchange.final_response, lambda: phone.answer(ringing))
        assert answered.status in (200, 480), "what was begun goes on"
        await trio.sleep(BLOCK_SECONDS)
        assert (await caller.first(caller.request("OPTIONS", f"sip:{DOMAIN}"))).status == 200


async def test_the_provider_of_a_trunk_is_no_stranger(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        strangers = open_door(w, node)
        caller = await stranger(w, node)
        arriving = Flow("udp", caller.flow.remote, caller.flow.local)
        assert strangers.is_public(arriving)
        strangers._is_provider = lambda flow: flow == arriving
        assert not strangers.is_public(arriving)
        assert strangers.hears(b"INVITE sip:4930123@192.0.2.1 SIP/2.0\r\n", arriving)


async def test_calls_at_a_time_and_a_minute_are_capped_for_all_alike(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        open_door(w, node, AdmissionLimits(2, 1, 6_000.0, 600.0))
        callers = [await stranger(w, node, 7000 + n, f"198.51.100.{n}") for n in range(3)]
        for each in callers[:2]:
            each.sip.start(each.invitation(f"sip:alice@{DOMAIN}"), each.flow)
            phone.ring(await phone.invited())
        for each in callers[1:]:
            for user in ("alice", "nobody"):
                response = await each.first(each.invitation(f"sip:{user}@{DOMAIN}"))
                assert (response.status, response.headers.get("Retry-After")) == (503, "60")
        assert kinds(node)["stranger refused"] == 4


async def test_floods_and_nonsense_are_dropped_unread(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        strangers = open_door(w, node)
        caller = await stranger(w, node)
        flow = Flow("udp", (node.sip.address[0], PUBLIC_PORT), caller.sip.address)
        before = node.sip.statistics()["malformed"]
        for number in range(1_000):
            data = b"INVITE sip:alice@%s SIP/2.0\r\nnonsense %d\r\n\r\n" % (DOMAIN.encode(), number)
            node.sip._receive(data, flow)
        assert node.sip.statistics()["malformed"] - before == PROBES_MAX + 1
        assert strangers.admission.dropped > 0
        assert kinds(node)["flood"] > 0
        assert kinds(node)["scanner blocked"] == 1


async def test_a_forged_source_gets_a_refusal_three_times(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        open_door(w, node)
        victim = await stranger(w, node)
        invite = victim.invitation(f"sip:nobody@{DOMAIN}")
        invite.headers.insert_first("Via", "SIP/2.0/UDP 198.51.100.7:7000;branch=z9hG4bKforged;rport")
        flow = Flow("udp", (node.sip.address[0], PUBLIC_PORT), victim.sip.address)
        node.sip._receive(invite.to_bytes(), flow)
        await trio.sleep(100)
        assert [data.split(b" ", 2)[1] for data, _ in node.sip.sent] == [b"100", b"480", b"480", b"480"]
        assert sum(len(data) for data, _ in node.sip.sent) < 3 * len(invite.to_bytes())


async def test_nobody_of_ours_calls_from_outside(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        await w.phone(node, "alice", 6000)
        open_door(w, node)
        caller = await stranger(w, node)
        for host in ("home.example", DOMAIN, "HOME.example."):
            request = caller.invitation(f"sip:alice@{DOMAIN}")
            request.headers.set("From", f"<sip:bob@{host}>;tag=1")
            assert (await caller.first(request)).status == 403


def _party(found: Callable[[], NameAddr]) -> None:
    """Whatever a From is, its display is marked and it can be written and read again."""
    try:
        claimed = found()
    except SipSyntaxError:
        return
    flow = Flow("udp", ("192.0.2.1", PUBLIC_PORT), ("198.51.100.7", 5060))
    strangers = Strangers(DomainDoor(DOMAIN, PEOPLE), _Bare(), _never)  # type: ignore[arg-type]
    try:
        party = strangers.party(claimed, flow)
    except RemoteError:
        return
    written = party.name_addr("tag")
    assert (written.display or "").startswith(f"{NOT_VERIFIED}: ")
    again = NameAddr.parse(str(written))
    assert again.display == written.display
    assert isinstance(again.uri, SipUri)
    assert party.kind == "stranger"


class _Bare:
    """The little of an equipment that is used without a call."""

    def __init__(self) -> None:
        self.settings = CallSettings("home.example", (), "")
        self.incidents = Incidents()
        self.clock = self

    def now(self) -> float:
        return 0.0

    def unix(self) -> float:
        return 0.0


async def _never(*_call: object) -> None:
    raise AssertionError("no call is made here")


@given(
    display=st.text(max_size=100), user=st.text(max_size=30), host=st.from_regex(r"[a-z0-9.\-]{1,20}", fullmatch=True)
)
def test_any_claim_is_shown_as_one(display: str, user: str, host: str) -> None:
    _party(lambda: NameAddr.parse(str(NameAddr(display, SipUri.of_address(f"{user}@{host}")))))


@given(text=st.text(max_size=120))
def test_any_text_in_from_is_shown_as_a_claim(text: str) -> None:
    _party(lambda: NameAddr.parse(text))


@pytest.mark.parametrize("text", ["<tel:+4930123456>", "<sip:elsewhere.example>"])
def test_who_names_no_user_is_nobody(text: str) -> None:
    _party(lambda: NameAddr.parse(text))
    flow = Flow("udp", ("192.0.2.1", PUBLIC_PORT), ("198.51.100.7", 5060))
    strangers = Strangers(DomainDoor(DOMAIN, PEOPLE), _Bare(), _never)  # type: ignore[arg-type]
    assert strangers.party(NameAddr.parse(text), flow).address == NOBODY


def test_a_request_line_is_looked_for_in_the_first_bytes_only() -> None:
    flow = Flow("udp", ("192.0.2.1", PUBLIC_PORT), ("198.51.100.7", 5060))
    strangers = Strangers(DomainDoor(DOMAIN, PEOPLE), _Bare(), _never)  # type: ignore[arg-type]
    strangers.open(PUBLIC_PORT)
    ends = b"@%s SIP/2.0" % DOMAIN.encode()
    start = b"INVITE sip:"
    room = REQUEST_LINE_BYTES_MAX - len(start + ends)
    assert strangers.hears(start + b"a" * room + ends, flow)
    assert not strangers.hears(start + b"a" * (room + len(b".0") + 1) + ends, flow)
    assert not strangers.hears(start + b"a" * 64_000 + b" x", flow)


@given(st.binary(max_size=300))
def test_any_bytes_are_weighed_without_failing(data: bytes) -> None:
    flow = Flow("udp", ("192.0.2.1", PUBLIC_PORT), ("198.51.100.7", 5060))
    bare = _Bare()
    strangers = Strangers(DomainDoor(DOMAIN, PEOPLE), bare, _never)  # type: ignore[arg-type]
    assert strangers.hears(data, flow), "other doors are no matter of ours"
    strangers.open(PUBLIC_PORT)
    assert strangers.hears(data, flow) or bare.incidents.counts["scan"] == 1
    assert strangers.hears(b"SIP/2.0 200 OK\r\n" + data, flow), "answers to what we asked"
    assert strangers.hears(b"OPTIONS sip:%s SIP/2.0\r\n" % DOMAIN.encode() + data, flow)
