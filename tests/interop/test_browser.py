"""Our media path against Chromium's WebRTC: ICE, DTLS-SRTP and G.711 both ways, whoever offers."""

from array import array
from pathlib import Path
from typing import Any

import pytest
import trio

from media.g711 import PCMU, decode, encode
from media.rtp import RtpPacket, is_rtcp
from media.tones import energy_share, tone
from media.turn.service import TurnService
from media.turn.settings import TurnSettings
from p2psip.base.chance import Chance
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import OverlayEnd
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks
from tests.interop.browser import browser
from tests.media.plane import open_nodes

pytestmark = pytest.mark.interop

OURS_HERTZ, THEIRS_HERTZ = 440.0, 700.0
SHARE_NEEDED = 0.95
HERTZ_APART_MAX = 12.0
HEARD_PACKETS = 100
OFFER = Audio(("0",), (("rtpmap", "0 PCMU/8000"),))


class Ear:
    """What came from the browser, decoded."""

    def __init__(self) -> None:
        self.samples: array[int] = array("h")
        self.packets = 0
        self.enough = trio.Event()

    def take(self, data: bytes) -> None:
        """One RTP or RTCP packet."""
        if not is_rtcp(data):
            self.packets += 1
            self.samples.extend(decode(PCMU, RtpPacket.parse(data).payload))
            if self.packets == HEARD_PACKETS:
                self.enough.set()


async def speak(end: OverlayEnd) -> None:
    """A tone, 50 packets a second, until cancelled."""
    await end.leg.wait_connected()
    speech, number = encode(PCMU, tone(OURS_HERTZ, 1.0)), 0
    while True:
        payload = speech[160 * (number % 50) : 160 * (number % 50) + 160]
        end.leg.send(RtpPacket(0, number == 0, number & 0xFFFF, 160 * number, 77, payload).to_bytes())
        number += 1
        await trio.sleep(0.02)


async def call(folder: Path, connection: dict[str, Any], browser_offers: bool) -> dict[str, Any]:
    """A call with the browser, audio proved both ways; what the page says of its path."""
    async with open_nodes(1) as (node,), browser(folder / "chromium", THEIRS_HERTZ) as phone:
        end, ear = OverlayEnd(node.media, Chance.system()), Ear()
        await phone.tell("settings", {"connection": connection, "offers": browser_offers})
        if browser_offers:
            end.take((await phone.hear("local")).encode(), is_offer=True)
            await phone.tell("remote", end.write(OFFER, is_offer=False).decode())
        else:
            await phone.tell("remote", end.write(OFFER, is_offer=True).decode())
            end.take((await phone.hear("local")).encode(), is_offer=False)
        end.leg.connect(ear.take)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak, end)
            heard = await phone.hear("heard")
            with trio.fail_after(10):
                await ear.enough.wait()
            nursery.cancel_scope.cancel()
        end.close()
    assert abs(heard["hertz"] - OURS_HERTZ) < HERTZ_APART_MAX
    assert energy_share(ear.samples[-8_000:], THEIRS_HERTZ) >= SHARE_NEEDED
    return dict(heard)


@pytest.mark.parametrize("browser_offers", [False, True], ids=["we offer", "the browser offers"])
async def test_audio_passes_both_ways(tmp_path: Path, browser_offers: bool) -> None:
    heard = await call(tmp_path, {}, browser_offers)
    assert (heard["local"], heard["remote"]) == ("host", "host")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_our_super_node_relays_for_a_browser(tmp_path: Path, transport: str) -> None:
    settings = TurnSettings(allows_private=True)
    async with trio.open_nursery() as nursery:
        port, clock = NodePort.bind(["127.0.0.1"], 0), Clock()
        links = StreamLinks(port)
        turn = TurnService(port, clock, Chance.system(), settings, b"secret", "home.example", peer_of=links.peer_of)
        links.on_closed(turn.stream_closed)
        port.route(0, 3, turn.receive_stun)
        for service in (port, links, turn):
            await nursery.start(service.run)
        await links.listen("127.0.0.1", port.number)
        grant = turn.grant("browser")
        url = f"turn:127.0.0.1:{port.number}?transport={transport}"
        server = {"urls": [url], "username": grant.username, "credential": grant.password}
        heard = await call(tmp_path, {"iceServers": [server], "iceTransportPolicy": "relay"}, browser_offers=True)
        assert heard["local"] == "relay"
        assert turn.statistics()["packets"] > HEARD_PACKETS
        nursery.cancel_scope.cancel()
