"""What a listener on the path between two nodes sees of a call: nothing of SIP, of SDP, or of speech.

The same capture holds the phones' own legs, in clear on loopback; they prove that the search would find what it looks for.
"""

import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from media.g711 import encode
from media.tones import tone
from tests.interop.baresip import baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town
from tests.interop.programs import program

pytestmark = pytest.mark.interop

WORDS = (
    b"SIP/2.0",
    b"INVITE",
    b"sip:",
    b"branch=",
    b"CSeq",
    b"m=audio",
    b"v=0",
    b"a=rtpmap",
    b"PCMU",
    b"alice@",
    b"bob@",
)
TALK_SECONDS = 1.5
PERIODS = 3
ETHERNET_BYTES, UDP_BYTES = 14, 8


@asynccontextmanager
async def captured(path: Path) -> AsyncIterator[None]:
    """Capture all UDP of loopback into `path` (pcap)."""
    command = [program("tshark"), "-i", "lo", "-f", "udp", "-F", "pcap", "-w", str(path), "-q"]
    with (path.parent / "tshark-log").open("wb") as log:
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=log)
    try:
        with trio.fail_after(15):
            while not path.exists() or not path.stat().st_size:  # noqa: ASYNC110 - another process makes the file
                await trio.sleep(0.1)
        yield
        await trio.sleep(0.5)
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


def datagrams(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(source port, destination port, payload) of each IPv4 datagram of a pcap file."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    position = 24
    while position + 16 <= len(data):
        (length,) = struct.unpack_from(order + "I", data, position + 8)
        frame = data[position + 16 : position + 16 + length]
        position += 16 + length
        header = ETHERNET_BYTES + 4 * (frame[ETHERNET_BYTES] & 15)
        source, destination = struct.unpack_from(">HH", frame, header)
        yield source, destination, frame[header + UDP_BYTES :]


def patterns(hertz: float) -> list[bytes]:
    """A few periods of the tone as G.711 µ-law, from every phase."""
    period = round(8_000 / hertz)
    coded = encode(0, tone(hertz, 0.1))
    return [coded[phase : phase + PERIODS * period] for phase in range(period)]


async def test_a_listener_between_the_nodes_learns_nothing(town: Town) -> None:
    path = town.folder / "loopback.pcap"
    alice_speaks, bob_speaks = town.speech("alice", ALICE_HERTZ), town.speech("bob", BOB_HERTZ)
    async with (
        captured(path),
        baresip(town.folder / "a", town.alice_phone, alice_speaks) as alice,
        baresip(town.folder / "b", town.bob_phone, bob_speaks) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await bob.wait_for("CALL_ESTABLISHED")
        await trio.sleep(TALK_SECONDS)
        await alice.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    overlay_ports = {town.alice.overlay_port, town.bob.overlay_port}
    everything = list(datagrams(path))
    between = [data for source, destination, data in everything if {source, destination} == overlay_ports]
    phones = [data for source, destination, data in everything if not {source, destination} & overlay_ports]
    wanted = (*WORDS, *patterns(ALICE_HERTZ), *patterns(BOB_HERTZ))
    assert len(between) > 2 * TALK_SECONDS * 50
    assert [word for word in wanted if any(word in data for data in between)] == []
    for control in (WORDS, patterns(ALICE_HERTZ)):
        assert all(any(word in data for data in phones) for word in control[:1])
