"""Our side of a subscription at somebody else's node, when that node lies, babbles or breaks rules; virtual time."""

import itertools
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from p2psip.presence.device import NOTIFIES_MAX
from p2psip.presence.pidf import PIDF_TYPE, Presence, Service, parse_pidf
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Response
from tests.calls.world import MemorySip
from tests.presence.world import Home, Streets, Subscribed, streets, subscribe

BOB, BOB_NODE, MALLORY_NODE = "bob@home.example", "b" * 40, "e" * 40
OPEN = Presence((Service("desk", True),)).write(BOB)


@dataclass
class Device:
    """A node whose SIP a test plays by hand."""

    sip: MemorySip
    home: Home

    async def subscribed(self) -> ServerExchange:
        """The next SUBSCRIBE."""
        with trio.fail_after(400):
            return await self.sip.incoming.receive()

    def accept(self, exchange: ServerExchange, *, seconds: str = "120") -> Dialog:
        headers = [("Contact", "<sip:bob@home.example>"), ("Expires", seconds)]
        response = make_response(exchange.request, 200, to_tag="device", headers=headers)
        exchange.respond(response)
        return Dialog.of_server(exchange.request, response, "<sip:bob@home.example>")

    async def notify(self, dialog: Dialog, body: bytes = OPEN, **changes: str) -> Response:
        values = {"Event": "presence", "Subscription-State": "active;expires=100", "Content-Type": PIDF_TYPE, **changes}
        request = dialog.request("NOTIFY", headers=list(values.items()), body=body)
        flow = self.sip.overlay_flow(self.home.node.sip.node_id)
        return await self.sip.start(request, flow).final_response()


async def node(s: Streets, home: Home, node_id: str) -> Device:
    sip = MemorySip(s.world.network, (f"127.0.9.{ord(node_id[0])}", 5060), node_id)
    s.world.network.nodes[node_id] = sip
    s.world.known[node_id] = (BOB,)
    await s.world.nursery.start(sip.run)
    return Device(sip, home)


async def watched(s: Streets) -> tuple[Device, Subscribed]:
    """Alice's phone watches bob, whose node the test plays."""
    home = await s.home("alice", "1001")
    device = await node(s, home, BOB_NODE)
    s.world.shared[BOB] = [BOB_NODE]
    watching = await subscribe(await s.phone(home, "alice", 6000), f"sip:{BOB}", "presence", 3_600)
    assert not parse_pidf((await watching.notified()).body).is_open
    return device, watching


async def test_a_notify_that_overtakes_the_answer_is_taken(autojump_clock: MockClock) -> None:
    async with streets() as s:
        device, watching = await watched(s)
        exchange = await device.subscribed()
        headers = [("Contact", "<sip:bob@home.example>"), ("Expires", "120")]
        response = make_response(exchange.request, 200, to_tag="device", headers=headers)
        dialog = Dialog.of_server(exchange.request, response, "<sip:bob@home.example>")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(device.notify, dialog)
            await trio.sleep(0.3)
            exchange.respond(response)
        assert parse_pidf((await watching.notified()).body).is_open


@pytest.mark.parametrize(
    ("body", "changes", "status"),
    [
        (b"<presence", {}, 400),
        (b"<!DOCTYPE x><x/>", {}, 400),
        (b"x" * 20_000, {}, 413),
        (OPEN, {"Content-Type": "text/plain"}, 415),
        (OPEN, {"Event": "dialog"}, 489),
    ],
)
async def test_what_a_device_must_not_say(
    body: bytes, changes: dict[str, str], status: int, autojump_clock: MockClock
) -> None:
    async with streets() as s:
        device, watching = await watched(s)
        dialog = device.accept(await device.subscribed())
        assert (await device.notify(dialog, body, **changes)).status == status
        assert (await device.notify(dialog)).status == 200
        assert parse_pidf((await watching.notified()).body).is_open


async def test_another_node_cannot_speak_for_a_device(autojump_clock: MockClock) -> None:
    async with streets() as s:
        device, watching = await watched(s)
        mallory = await node(s, device.home, MALLORY_NODE)
        dialog = device.accept(await device.subscribed())
        assert (await mallory.notify(dialog)).status == 481
        await watching.quiet(30)


async def test_an_old_notify_undoes_nothing(autojump_clock: MockClock) -> None:
    async with streets() as s:
        device, watching = await watched(s)
        dialog = device.accept(await device.subscribed())
        dialog.cseq = 10
        assert (await device.notify(dialog)).status == 200
        dialog.cseq = 8
        assert (await device.notify(dialog, Presence().write(BOB))).status == 500
        assert parse_pidf((await watching.notified()).body).is_open
        await watching.quiet(30)


async def test_a_device_that_babbles_is_told_to_wait(autojump_clock: MockClock) -> None:
    async with streets() as s:
        device, _watching = await watched(s)
        dialog = device.accept(await device.subscribed())
        statuses = [(await device.notify(dialog)).status for _ in range(NOTIFIES_MAX + 1)]
        assert statuses == [200] * NOTIFIES_MAX + [503]
        await trio.sleep(1)
        assert (await device.notify(dialog)).status == 200


async def test_a_device_that_ends_it_at_once_is_asked_ever_more_rarely(autojump_clock: MockClock) -> None:
    async with streets() as s:
        device, _watching = await watched(s)
        times = []
        for _ in range(5):
            exchange = await device.subscribed()
            times.append(trio.current_time())
            await device.notify(device.accept(exchange), b"", **{"Subscription-State": "terminated;reason=deactivated"})
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses == sorted(pauses)
        assert pauses[0] > 10
        assert sum(pauses) > 150


async def test_a_device_that_forgets_is_asked_anew_and_each_lifetime_is_bounded(autojump_clock: MockClock) -> None:
    async with streets() as s:
        device, watching = await watched(s)
        dialog = device.accept(await device.subscribed(), seconds="4000000000")
        await device.notify(dialog)
        assert parse_pidf((await watching.notified()).body).is_open
        began = trio.current_time()
        requests = device.sip.open_dialog(dialog.id)
        with trio.fail_after(2_000):
            exchange = await requests.receive()
        assert exchange.request.method == "SUBSCRIBE"
        assert trio.current_time() - began < 1_801
        exchange.respond(make_response(exchange.request, 481))
        assert not parse_pidf((await watching.notified()).body).is_open
        device.accept(await device.subscribed())
