"""Presence, busy lamps and waiting messages with sipp and baresip, between real nodes; and a node that is killed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import groupby

import pytest
import trio

from p2psip.app.local_network import PhoneAccount
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.presence.dialog_info import DIALOG_INFO_TYPE
from p2psip.presence.message_summary import SUMMARY_TYPE
from p2psip.presence.pidf import PIDF_TYPE, Presence, Service
from p2psip.sip.build import make_request, make_response
from p2psip.sip.digest import Challenge, respond
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.service import SipService
from p2psip.sip.uri import SipUri
from tests.interop.baresip import EVENT_SECONDS_MAX, Baresip, baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, WAIT_SECONDS_MAX, Town
from tests.interop.sipp import SCENARIOS, run_sipp

pytestmark = pytest.mark.interop

WATCH_SECONDS = 10
"""A subscription's life between nodes in these tests; a node that dies is seen closed within half of it and ten seconds."""
CLOSED_SECONDS_MAX = WATCH_SECONDS / 2 + 10.0 + 3.0
OPEN_SECONDS_MAX = 15.0
SETTINGS = f"[presence]\nwatch_seconds = {WATCH_SECONDS}\n"


class Lamp:
    """A phone of ours that watches one thing and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Request] = []
        self._read = 0
        self._changed = trio.Event()

    def take(self, exchange: ServerExchange) -> None:
        """One NOTIFY."""
        exchange.respond(make_response(exchange.request, 200))
        self.told.append(exchange.request)
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, words: bytes, seconds: float = WAIT_SECONDS_MAX) -> float:
        """Until a document that was not looked for before, or the newest, holds these words; the seconds that took."""
        began = trio.current_time()
        self._read = min(self._read, max(len(self.told) - 1, 0))
        with trio.fail_after(seconds):
            while True:
                while self._read < len(self.told):
                    self._read += 1
                    if words in self.told[self._read - 1].body:
                        return trio.current_time() - began
                await self._changed.wait()


@asynccontextmanager
async def lamp(account: PhoneAccount, target: str, event: str, content_type: str) -> AsyncIterator[Lamp]:
    """Subscribe to `event` of `target` at the node of `account`."""
    sip = SipService(Clock().now, Chance.system())
    watching = Lamp()
    async with trio.open_nursery() as nursery:
        await nursery.start(sip.run)
        host, port = await sip.listen_udp("127.0.0.1", 0)
        flow = await sip.connect("udp", account.server)
        uri, own = SipUri.of_address(target), SipUri.of_address(account.address)
        headers = [("Contact", f"<sip:{own.user}@{host}:{port}>"), ("Event", event), ("Accept", content_type)]
        values = {"from_": NameAddr(None, own).with_tag("lamp"), "to": NameAddr(None, uri), "call_id": f"lamp-{port}"}
        first = make_request("SUBSCRIBE", uri, cseq=1, headers=headers, **values)  # type: ignore[arg-type]
        requests = sip.open_dialog((f"lamp-{port}", "lamp", ""))
        challenge = Challenge.parse(
            (await sip.start(first, flow).final_response()).headers.get("WWW-Authenticate") or ""
        )
        answer = respond(
            challenge, method="SUBSCRIBE", uri=str(uri), user=account.name, password=account.password, cnonce="c"
        )
        again = make_request("SUBSCRIBE", uri, cseq=2, headers=[*headers, ("Authorization", answer)], **values)  # type: ignore[arg-type]
        assert (await sip.start(again, flow).final_response()).status == 200

        async def listen() -> None:
            async for exchange in requests:
                watching.take(exchange)

        nursery.start_soon(listen)
        yield watching
        nursery.cancel_scope.cancel()


def fields(town: Town, account: PhoneAccount, *more: str) -> str:
    """The injection file of a scenario."""
    credentials = f"[authentication username={account.name} password={account.password}]"
    path = town.folder / f"{account.name}.csv"
    path.write_text("SEQUENTIAL\n" + ";".join((account.name, "home.example", credentials, *more)) + "\n")
    return str(path)


async def test_sipp_subscribes_and_publishes_and_phones_see_it(town: Town) -> None:
    for event, content_type in (
        ("presence", PIDF_TYPE),
        ("dialog", DIALOG_INFO_TYPE),
        ("message-summary", SUMMARY_TYPE),
    ):
        file = fields(town, town.bob_phone, event, content_type)
        await run_sipp(town.folder, town.bob.sip, "-sf", str(SCENARIOS / "subscribe.xml"), "-inf", file)
    await watchers_elsewhere_see_what_is_published(town)
    await baresip_is_told_of_messages_that_wait(town)


async def shows(phone: Baresip, word: str) -> None:
    """Until the list of contacts of a baresip shows its one contact so."""
    with trio.fail_after(EVENT_SECONDS_MAX):
        while True:
            await phone.command("contacts")
            await trio.sleep(0.3)
            answers = [event["data"] for event in phone.events if "Contacts (1)" in str(event.get("data"))]
            if answers and word in answers[-1]:
                return


async def wait_for_lamps(phone: Baresip, *wanted: str) -> None:
    """Until a baresip was told these changes of its waiting messages last, however often; what came before its events could be
    read is not known."""
    told: list[str] = []
    with trio.move_on_after(EVENT_SECONDS_MAX):
        while tuple(told[-len(wanted) :]) != wanted:
            lines = [event["param"].splitlines()[0] for event in phone.events if event.get("type") == "MWI_NOTIFY"]
            told = [word for word, _ in groupby(line.rpartition(" ")[2] for line in lines)]
            await trio.sleep(0.1)
        return
    raise AssertionError(f"the phone was told of waiting messages {told}, not {wanted}")


async def wait_for_watcher(town: Town) -> None:
    """Until somebody watches at the node of alice."""
    with trio.fail_after(2 * EVENT_SECONDS_MAX):
        while True:
            if (await town.status(town.alice))["presence"]["watchers"]:
                return
            await trio.sleep(0.1)


async def baresip_is_told_of_messages_that_wait(town: Town) -> None:
    body = "Messages-Waiting: yes"
    async with baresip(
        town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ), modules=("mwi",), parameters=";mwi=yes"
    ) as alice:
        await town.wait_registered(town.alice)
        await wait_for_watcher(town)
        file = fields(town, town.alice_phone, "message-summary", SUMMARY_TYPE, body, body)
        await run_sipp(town.folder, town.alice.sip, "-sf", str(SCENARIOS / "publish.xml"), "-inf", file)
        await wait_for_lamps(alice, "yes", "no")


async def watchers_elsewhere_see_what_is_published(town: Town) -> None:
    documents = [
        Presence((Service("desk", is_open),), ("meeting",)).write("bob@home.example") for is_open in (True, False)
    ]
    bodies = [document.decode().replace("\n", "") for document in documents]
    file = fields(town, town.bob_phone, "presence", PIDF_TYPE, *bodies)
    async with (
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)),
        lamp(town.alice_phone, "bob@home.example", "presence", PIDF_TYPE) as watching,
        trio.open_nursery() as nursery,
    ):
        await watching.wait_for(b">open<")
        assert (await town.network.command(town.alice.home, "presence", "bob"))["open"]
        scenario = ("-sf", str(SCENARIOS / "publish.xml"), "-inf", file)
        nursery.start_soon(partial(run_sipp, town.folder, town.bob.sip, *scenario))
        await watching.wait_for(b"rpid:meeting")
        await watching.wait_for(b">closed<")
        await watching.wait_for(b">open<")
    assert not any(b"127.0.0.1" in request.body for request in watching.told)


@pytest.mark.parametrize("town", [SETTINGS], indirect=True, ids=["watchful"])
async def test_somebody_is_seen_closed_after_a_kill_and_open_again_when_they_are_back(town: Town) -> None:
    async with (
        lamp(town.alice_phone, "bob@home.example", "presence", PIDF_TYPE) as watching,
        baresip(
            town.folder / "a",
            town.alice_phone,
            town.speech("alice", ALICE_HERTZ),
            modules=("contact", "presence"),
            contacts='"Bob" <sip:bob@home.example>;presence=p2p\n',
        ) as alice,
    ):
        await watching.wait_for(b">closed<", 2.0)
        async with baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)):
            await watching.wait_for(b">open<", OPEN_SECONDS_MAX)
            await shows(alice, "Online")
            await trio.sleep(3)  # the node writes down who is registered
            await town.bob.kill()
            await watching.wait_for(b">closed<", CLOSED_SECONDS_MAX)
            await shows(alice, "Offline")
            again = await town.network.up(town.bob.home, "--sip-port", str(town.bob.sip[1]))
            await watching.wait_for(b">open<", OPEN_SECONDS_MAX)
        await again.stop()
        await watching.wait_for(b">closed<", OPEN_SECONDS_MAX)


async def test_a_busy_lamp_follows_a_call_and_that_of_somebody_else_stays_dark(town: Town) -> None:
    async with (
        baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice,
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)) as bob,
        lamp(town.bob_phone, "bob@home.example", "dialog", DIALOG_INFO_TYPE) as own,
        lamp(town.alice_phone, "bob@home.example", "dialog", DIALOG_INFO_TYPE) as dark,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await bob.wait_for("CALL_ESTABLISHED", 2 * EVENT_SECONDS_MAX)
        await own.wait_for(b"<state>confirmed</state>")
        assert b"sip:alice@home.example" in own.told[-1].body
        await alice.command("hangup")
        await own.wait_for(b"<state>terminated</state>")
    versions = [request.body.partition(b'dialog-info" version="')[2].partition(b'"')[0] for request in own.told]
    assert versions == [str(number).encode() for number in range(len(versions))], [each.body for each in own.told]
    assert dark.told[-1].headers.get("Subscription-State") == "terminated;reason=rejected"
    assert not any(b"<dialog " in request.body for request in dark.told)
