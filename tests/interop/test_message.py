"""A text from one node's command line to a phone of another node, and what the sender is told when nobody is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from p2psip.app.handset import HandsetAudio
from p2psip.app.local_network import PhoneAccount, ProcessFailed
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.sip.build import make_response
from p2psip.sip.message import Request
from p2psip.sip.service import SipService
from p2psip.softphone.phone import Audio, Credentials, Softphone
from tests.interop.conftest import WAIT_SECONDS_MAX, Town

pytestmark = pytest.mark.interop


class Silent(Audio):
    """A phone without sound."""

    line = speech = HandsetAudio.line  # type: ignore[assignment]  # never called


@asynccontextmanager
async def texting_phone(account: PhoneAccount) -> AsyncIterator[trio.MemoryReceiveChannel[Request]]:
    """A registered phone that answers each MESSAGE with 200 and hands it over."""
    sip = SipService(Clock().now, Chance.system())
    send, received = trio.open_memory_channel[Request](8)

    async def serve() -> None:
        async for exchange in sip.incoming:
            send.send_nowait(exchange.request)
            exchange.respond(make_response(exchange.request, 200, to_tag="x"))

    async with trio.open_nursery() as nursery:
        await nursery.start(sip.run)
        await sip.listen_udp("127.0.0.1", 0)
        nursery.start_soon(serve)
        credentials = Credentials(account.name, account.address, account.password, account.server)
        await Softphone(credentials, sip, Silent(), Chance.system()).register()
        yield received
        nursery.cancel_scope.cancel()


async def test_a_text_arrives_with_its_senders_name(town: Town) -> None:
    async with texting_phone(town.bob_phone) as received:
        await town.wait_registered(town.bob)
        answer = await town.network.command(town.alice.home, "message", "bob", "back at five — grüße")
        assert answer["status"] == 200
        with trio.fail_after(WAIT_SECONDS_MAX):
            request = await received.receive()
        assert request.method == "MESSAGE"
        assert request.body.decode() == "back at five — grüße"
        assert str(request.from_.uri) == "sip:alice@home.example"


async def test_a_text_to_somebody_who_is_away_says_so(town: Town) -> None:
    with pytest.raises(ProcessFailed, match="480"):
        await town.network.command(town.alice.home, "message", "bob", "hello")
    with pytest.raises(ProcessFailed, match="404"):
        await town.network.command(town.alice.home, "message", "nobody", "hello")
