"""Text messages between phones, on one node and through the overlay."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.messaging.messages import MESSAGE_BODY_BYTES_MAX
from p2psip.sip.build import make_response
from p2psip.sip.message import Response
from tests.calls.steps import both, two_nodes
from tests.calls.world import Phone, world


async def send(phone: Phone, uri: str, text: bytes = b"hello") -> Response:
    """The answer to a MESSAGE."""
    return await phone.ask(phone.request("MESSAGE", uri, body=text, content_type="text/plain;charset=utf-8"))


async def take(phone: Phone, status: int, texts: list[bytes]) -> None:
    """Answer the next MESSAGE."""
    exchange = await phone.invited()
    assert exchange.request.headers.get("Content-Type") == "text/plain;charset=utf-8"
    texts.append(exchange.request.body)
    assert exchange.request.from_.uri is not None
    exchange.respond(make_response(exchange.request, status, to_tag="m"))


@pytest.mark.parametrize(("said", "heard"), [(200, 200), (202, 202), (486, 486), (302, 480)])
async def test_a_message_through_the_overlay(autojump_clock: MockClock, said: int, heard: int) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        texts: list[bytes] = []
        response = await both(lambda: send(alice, "sip:1002@home.example"), lambda: take(bob, said, texts))
        assert response.status == heard
        assert texts == [b"hello"]


async def test_one_phone_that_takes_it_is_enough(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        second = await w.phone(b, "bob-2", 6200)
        texts: list[bytes] = []
        w.nursery.start_soon(take, second, 486, texts)
        response = await both(lambda: send(alice, "sip:bob@home.example"), lambda: take(bob, 200, texts))
        assert response.status == 200
        assert texts == [b"hello", b"hello"]


async def test_phones_of_one_node(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, _b, alice, _bob = await two_nodes(w)
        second = await w.phone(a, "alice-2", 6200)
        texts: list[bytes] = []
        assert (
            await both(lambda: send(second, "sip:1001@home.example"), lambda: take(alice, 200, texts))
        ).status == 200


@pytest.mark.parametrize(("uri", "status"), [("sip:nobody@home.example", 404), ("sip:carol@home.example", 480)])
async def test_nobody_there(autojump_clock: MockClock, uri: str, status: int) -> None:
    async with world() as w:
        _a, _b, alice, _bob = await two_nodes(w)
        await w.node("carol", "1003")
        assert (await send(alice, uri)).status == status


async def test_a_device_that_is_silent_is_408(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, _bob = await two_nodes(w)
        w.network.dead.add(b.sip)
        started = trio.current_time()
        assert (await send(alice, "sip:bob@home.example")).status == 408
        assert trio.current_time() - started < 30


async def test_a_message_has_a_size(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, _b, alice, bob = await two_nodes(w)
        texts: list[bytes] = []
        fits = b"x" * MESSAGE_BODY_BYTES_MAX
        response = await both(lambda: send(alice, "sip:bob@home.example", fits), lambda: take(bob, 200, texts))
        assert response.status == 200
        assert (await send(alice, "sip:bob@home.example", fits + b"x")).status == 413


async def test_a_node_may_write_for_its_own_people_only(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, bob = await two_nodes(w)
        mallory = await w.node("mallory", "1009")
        request = alice.request("MESSAGE", "sip:bob@home.example", body=b"pay me", content_type="text/plain")
        response = await mallory.sip.start(request, mallory.sip.overlay_flow(b.sip.node_id)).final_response()
        assert response.status == 403
        assert bob.sip.incoming.statistics().current_buffer_used == 0
