"""Phones with several flows (RFC 5626) and an address for each device (RFC 5627), as phones see it."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2psip.calls import bindings as bindings_module
from p2psip.calls.bindings import Binding, BindingTable, device_of
from p2psip.calls.registrar import EXPIRES_SECONDS_MAX, FLOW_GRACE_SECONDS, FLOW_TIMER_SECONDS, REG_ID_MAX
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri
from tests.calls.world import Phone, World, world

URN = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
OTHER_URN = "urn:uuid:00000000-0000-1000-8000-000a95a0e129"
GRUU = f"sip:alice@home.example;gr={URN}"
FLOW = Flow("tcp", ("127.0.0.1", 5060), ("127.0.0.1", 6000), 1)
BINDING = Binding("a@h", "a", SipUri.parse("sip:a@127.0.0.1:6000"), FLOW, "c", 1, 60.0, instance=f'"<{URN}>";1')


def registration(phone: Phone, flow_id: str = "1", urn: str = URN, supported: str = "path, outbound, gruu") -> Request:
    """A REGISTER of a phone that knows outbound and GRUU."""
    reg_id = f";reg-id={flow_id}" if flow_id else ""
    request = phone.registration(f'{phone.contact};+sip.instance="<{urn}>"{reg_id}')
    request.headers.add("Supported", supported)
    return request


async def flows(w: World, *, name: str = "alice") -> tuple[Phone, Phone]:
    """One phone of alice with two flows over the same node, the second is the newer one."""
    node = await w.node("alice", "1001")
    one = await w.phone(node, name, 6000, registered=False, transport="tcp")
    two = await w.phone(node, name, 6001, registered=False, transport="tcp")
    assert (await one.ask(registration(one, "1"))).status == 200
    assert (await two.ask(registration(two, "2"))).status == 200
    return one, two


async def caller(w: World) -> Phone:
    return await w.phone(await w.node("bob", "1002"), "bob", 6100)


# Registering


async def test_a_flow_is_registered_as_the_rfc_says(autojump_clock: MockClock) -> None:
    async with world() as w:
        one, two = await flows(w)
        response = await one.ask(registration(one, "1"))
        assert [contact.parameter("reg-id") for contact in response.contacts] == ["2", "1"]
        assert response.headers.all("Require") == ["outbound"]
        assert response.headers.get("Flow-Timer") == str(FLOW_TIMER_SECONDS)
        moved = registration(two, "2")
        moved.headers.set("Contact", f'<sip:alice@127.0.0.1:9999>;+sip.instance="<{URN}>";reg-id=2')
        response = await two.ask(moved)
        assert sorted(str(contact.uri) for contact in response.contacts) == [
            "sip:alice@127.0.0.1:6000",
            "sip:alice@127.0.0.1:9999",
        ]


async def test_over_udp_the_phone_keeps_its_own_time(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)
        response = await phone.ask(registration(phone))
        assert (response.headers.get("Require"), response.headers.get("Flow-Timer")) == ("outbound", None)


@pytest.mark.parametrize(
    ("flow_id", "supported"), [("1", "path"), ("0", "outbound"), ("x", "outbound"), (str(REG_ID_MAX + 1), "outbound")]
)
async def test_a_flow_that_is_none_is_an_ordinary_registration(
    flow_id: str, supported: str, autojump_clock: MockClock
) -> None:
    async with world() as w:
        phone = await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)
        response = await phone.ask(registration(phone, flow_id, supported=supported))
        assert (response.status, response.headers.get("Require")) == (200, None)
        assert response.contacts[0].parameter("reg-id") is None


async def test_two_flows_in_one_request_are_refused(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)
        request = registration(phone)
        request.headers.add("Contact", f'<sip:alice@127.0.0.1:7>;+sip.instance="<{URN}>";reg-id=2')
        assert (await phone.ask(request)).status == 400


async def test_a_flow_behind_another_hop_is_refused(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)
        request = registration(phone)
        request.headers.add("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx")
        assert (await phone.ask(request)).status == 439


async def test_both_options_may_be_required(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)
        request = registration(phone)
        request.headers.add("Require", "outbound, gruu")
        assert (await phone.ask(request)).status == 200


# Ringing


@pytest.mark.parametrize("dialled", ["alice", "alice-2"])
async def test_a_phone_with_two_flows_rings_once_on_the_newer_one(dialled: str, autojump_clock: MockClock) -> None:
    async with world() as w:
        one, two = await flows(w, name=dialled)
        near = dialled == "alice-2"  # a phone, not a person: that is dialled from another phone of the same node
        bob = await w.phone(one.node, "alice", 6100) if near else await caller(w)
        call = await bob.call(f"sip:{dialled}@home.example")
        ringing = await two.invited()
        await two.answer(ringing)
        await call.established()
        assert one.sip.incoming.statistics().current_buffer_used == 0


async def test_when_a_flow_ends_the_other_one_rings(autojump_clock: MockClock) -> None:
    async with world() as w:
        one, two = await flows(w)
        two.node.sip.close_flow(replace(two.flow, local=two.flow.remote, remote=two.flow.local))
        call = await (await caller(w)).call("sip:alice@home.example")
        await one.answer(await one.invited())
        await call.established()


async def test_a_flow_that_ends_under_an_invite_is_followed_by_the_other(autojump_clock: MockClock) -> None:
    async with world() as w:
        one, two = await flows(w)
        w.network.dead.add(two.sip)
        call = await (await caller(w)).call("sip:alice@home.example")
        await wait_all_tasks_blocked(0.01)
        two.node.sip.close_flow(replace(two.flow, local=two.flow.remote, remote=two.flow.local))
        ringing = await one.invited()
        assert str(ringing.request.uri) == "sip:alice@127.0.0.1:6000"
        await one.answer(ringing)
        established = await call.established()
        assert (await established.ask("BYE")).status == 200


async def test_a_call_goes_on_over_the_flow_that_is_left(autojump_clock: MockClock) -> None:
    async with world() as w:
        one, two = await flows(w)
        call = await (await caller(w)).call("sip:alice@home.example")
        answered = await two.answer(await two.invited())
        established = await call.established()
        two.node.sip.close_flow(replace(two.flow, local=two.flow.remote, remote=two.flow.local))
        requests = one.sip.open_dialog(answered.dialog.id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(established.ask, "BYE")
            assert (await requests.receive()).request.method == "BYE"
            nursery.cancel_scope.cancel()


async def test_a_registered_stream_is_watched(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        watched: list[tuple[Flow, float]] = []
        monkeypatch.setattr(node.sip, "watch_flow", lambda flow, seconds: watched.append((flow, seconds)))
        phone = await w.phone(node, "alice", 6000, transport="tcp")
        ((_flow, seconds),) = watched  # one that does not know outbound sends no keep-alives that we could expect
        assert seconds == EXPIRES_SECONDS_MAX + FLOW_GRACE_SECONDS
        watched.clear()
        assert (await phone.ask(registration(phone))).status == 200
        ((flow, seconds),) = watched
        assert (flow.transport, flow.remote) == ("tcp", phone.sip.address)
        assert seconds == FLOW_TIMER_SECONDS + FLOW_GRACE_SECONDS


# One device


def gruus(response: Response) -> list[str | None]:
    return [contact.parameter("pub-gruu") for contact in response.contacts]


async def test_each_device_gets_an_address_if_it_asks_for_one(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)
        assert gruus(await phone.ask(registration(phone, ""))) == [f'"{GRUU}"']
        assert gruus(await phone.ask(registration(phone, "", supported="path"))) == [None]
        assert gruus(await phone.ask(registration(phone, "", urn="not a urn"))) == [f'"{GRUU}"', None]


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
async def test_a_request_to_a_device_reaches_that_one_only(method: str, far: bool, autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        desk = await w.phone(node, "alice", 6000, registered=False)
        mobile = await w.phone(node, "alice-2", 6001, registered=False)
        bob = await caller(w) if far else await w.phone(node, "alice", 6002)
        assert (await desk.ask(registration(desk, ""))).status == 200
        assert (await mobile.ask(registration(mobile, "", OTHER_URN))).status == 200
        async with trio.open_nursery() as nursery:
            if method == "INVITE":
                nursery.start_soon(bob.call, GRUU)
            else:
                text = bob.request("MESSAGE", GRUU, body=b"hello", content_type="text/plain")
                nursery.start_soon(bob.ask, text)
            assert (await desk.invited()).request.method == method
            await wait_all_tasks_blocked(0.01)
            assert mobile.sip.incoming.statistics().current_buffer_used == 0
            nursery.cancel_scope.cancel()


async def test_a_device_that_is_away_is_not_replaced_by_another(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        await w.phone(node, "alice", 6000)
        bob = await caller(w)
        call = await bob.call(GRUU)
        assert (await call.exchange.final_response()).status == 480


@pytest.mark.parametrize("far", [False, True])
async def test_sips_rings_phones_with_tls_only(far: bool, autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        plain = await w.phone(node, "alice", 6000, transport="tcp")
        bob = await caller(w) if far else await w.phone(node, "alice", 6002)
        call = await bob.call("sips:alice@home.example")
        assert (await call.exchange.final_response()).status == 480
        secure = await w.phone(node, "alice", 6001, transport="tls")
        call = await bob.call("sips:alice@home.example")
        await secure.answer(await secure.invited())
        await call.established()
        assert plain.sip.incoming.statistics().current_buffer_used == 0


# The table


@pytest.mark.parametrize(
    ("instance", "device"),
    [(f'"<{URN}>";', URN), (f'"<{URN}>";1', URN), ('"<mailto:x>";', None), ("x;", None), ('"<urn:x y>";', None)],
)
def test_a_device_is_a_urn(instance: str, device: str | None) -> None:
    assert device_of(instance) == device


def test_a_flow_has_no_successor_without_a_name_or_without_another_flow() -> None:
    table = BindingTable()
    table.replace("a@h", [replace(BINDING, instance=None)])
    assert table.successor(FLOW, 0.0) is None
    table.replace("a@h", [BINDING])
    assert table.successor(FLOW, 0.0) is None
    other = replace(BINDING, flow=replace(FLOW, serial=2), instance=f'"<{URN}>";2', expires_at=30.0)
    table.replace("a@h", [BINDING, other])
    assert table.successor(FLOW, 0.0) is other
    assert table.successor(FLOW, 30.0) is None


def test_one_lost_flow_more_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bindings_module, "LOST_FLOWS_MAX", 2)
    table = BindingTable()
    alive = replace(BINDING, flow=replace(FLOW, serial=9))
    lost = [replace(BINDING, flow=replace(FLOW, serial=number)) for number in range(3)]
    table.replace("a@h", [*lost, alive])
    for binding in lost:
        table.flow_closed(binding.flow)
    assert [table.successor(binding.flow, 0.0) for binding in lost] == [None, alive, alive]
