"""Calls over the real media plane on loopback: restarts of the path between the nodes while phones talk, and what records say."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from media.legs import NETWORK_CHANGED
from media.overlay_leg import OverlayLeg
from media.phone_leg import PhoneLeg
from media.rtp import RtpPacket
from media.service import MediaService
from p2psip.base.chance import Chance
from p2psip.net.port import NodePort, open_udp
from tests.calls.steps import both
from tests.calls.world import Established, Node, Phone, TrioClock, World, sdp, world

LOCAL = "127.0.0.1"
FIRST_PORTS = {"alice": 26_000, "bob": 26_200}


class Plane(MediaService):
    """A media service that remembers its legs."""

    path: OverlayLeg
    side: PhoneLeg

    def overlay_leg(self, *, offerer: bool) -> OverlayLeg:
        self.path = super().overlay_leg(offerer=offerer)
        return self.path

    def phone_leg(self, host: str | None = None) -> PhoneLeg:
        self.side = super().phone_leg(host)
        return self.side


class End:
    """One person: a node with real media, and a phone with a real RTP socket."""

    def __init__(self, node: Node, plane: Plane, phone: Phone) -> None:
        self.node, self.plane, self.phone = node, plane, phone
        self.rtp: socket.socket = open_udp((LOCAL, 0))
        self.body = sdp(self.rtp.getsockname()[1], "0 101")
        self.sequence = 0

    def speak(self, payload_type: int = 0) -> None:
        """One packet."""
        self.sequence += 1
        packet = RtpPacket(payload_type, False, self.sequence, 160 * self.sequence, 7, bytes(160))
        self.rtp.sendto(packet.to_bytes(), self.plane.side.local)

    def heard(self) -> int:
        """How many packets have come since the last call."""
        count = 0
        while True:
            try:
                self.rtp.recv(2_048)
            except BlockingIOError:
                return count
            count += 1

    @property
    def media(self) -> dict[str, Any]:
        """What the node's record of the call says."""
        facts = self.node.server.call_facts(1)
        assert facts is not None
        media: dict[str, Any] = facts["media"]
        return media


async def make_end(w: World, person: str, number: str, sip_port: int) -> End:
    first = FIRST_PORTS[person]
    port = NodePort.bind([LOCAL], 0)
    plane = Plane(
        port=port,
        clock=TrioClock(),
        chance=Chance.seeded(person.encode()),
        phone_host=LOCAL,
        rtp_ports=(first, first + 99),
    )
    await w.nursery.start(port.run)
    await w.nursery.start(plane.run)
    node = await w.node(person, number, plane=plane)
    return End(node, plane, await w.phone(node, person, sip_port))


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[End, End, Established, Established]]:
    """alice and bob in a call."""
    async with world() as w:
        alice, bob = await make_end(w, "alice", "1001", 6000), await make_end(w, "bob", "1002", 6100)
        outgoing = await alice.phone.call("sip:bob@home.example", alice.body)
        invite = await bob.phone.invited()
        there: list[Established] = []

        async def answer() -> None:
            there.append(await bob.phone.answer(invite, body=bob.body))

        here = await both(outgoing.established, answer)
        for end in (alice, bob):
            await end.plane.path.wait_connected()
        yield alice, bob, here, there[0]
        for end in (alice, bob):
            end.rtp.close()


async def talk(alice: End, bob: End, packets: int) -> tuple[int, int]:
    """Both speak, 20 ms apart; what alice and bob hear of it."""
    for _ in range(packets):
        alice.speak()
        bob.speak()
        await trio.sleep(0.02)
    return alice.heard(), bob.heard()


@pytest.mark.parametrize("mover", [0, 1])
async def test_no_packet_is_lost_while_the_path_is_made_anew(autojump_clock: MockClock, mover: int) -> None:
    async with connected() as (alice, bob, here, there):
        assert await talk(alice, bob, 50) == (50, 50)
        before = [end.plane.path.description.ufrag for end in (alice, bob)]
        said = [len(end.phone.sip.sent) for end in (alice, bob)]
        (alice, bob)[mover].plane.path.want_restart(NETWORK_CHANGED)
        assert await talk(alice, bob, 200) == (200, 200)
        after = [end.plane.path.description.ufrag for end in (alice, bob)]
        assert set(before).isdisjoint(after)
        assert [len(end.phone.sip.sent) for end in (alice, bob)] == said
        assert alice.media["verdict"] == bob.media["verdict"] == "audio flows both ways"
        assert alice.media["ends"][1]["path"]["way"] == "direct"
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))


async def test_both_want_a_restart_again_and_again(autojump_clock: MockClock) -> None:
    async with connected() as (alice, bob, here, there):
        for _ in range(3):
            for end in (alice, bob):
                end.plane.path.want_restart(NETWORK_CHANGED)
            assert await talk(alice, bob, 500) == (500, 500)
            assert not any(end.plane.path.needs_restart for end in (alice, bob))
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))


async def test_the_record_tells_which_phone_is_silent_and_from_where_packets_were_refused(
    autojump_clock: MockClock,
) -> None:
    async with connected() as (alice, bob, _here, _there):
        for _ in range(300):
            bob.speak()
            await trio.sleep(0.02)
        assert alice.heard() == 300
        port = alice.rtp.getsockname()[1]
        expected = f"nothing came from phone alice: packets were expected from {LOCAL}:{port}"
        assert expected in alice.media["verdict"]
        assert "but it sends no audio" in bob.media["verdict"]
        ends = alice.media["ends"]
        assert (ends[0]["path"]["announced"], ends[0]["path"]["heard_from"]) == (f"{LOCAL}:{port}", None)
        assert (ends[0]["sent"], ends[1]["received"]) == (300, 300)


async def test_the_path_is_lost(autojump_clock: MockClock) -> None:
    async with connected() as (alice, bob, here, _there):
        await talk(alice, bob, 50)
        bob.node.sip.network.dead.add(bob.node.sip)
        bob.plane.path.close()
        bye = await here.expect("BYE")
        assert "the media path to" in (bye.headers.get("Reason") or "")
        assert "was lost" in alice.media["verdict"]


async def test_a_phone_that_has_closed_its_port_is_named(autojump_clock: MockClock) -> None:
    async with connected() as (alice, bob, here, there):
        assert await talk(alice, bob, 300) == (300, 300)
        place = alice.rtp.getsockname()
        alice.rtp.close()
        for _ in range(100):
            bob.speak()
            await trio.sleep(0.02)
        words = f"nobody listens at {LOCAL}:{place[1]}, where phone alice wants its audio"
        assert words in alice.media["directions"][1]["cause"]
        alice.rtp = open_udp(place)
        assert await talk(alice, bob, 400) == (400, 400)
        assert alice.media["verdict"] == "audio flows both ways"
        await both(lambda: here.ask("BYE"), lambda: there.expect("BYE"))
