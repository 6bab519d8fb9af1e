"""Ten thousand garbage datagrams on each port of a node in a call: the call goes on, and no table grows past its bound."""

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from media.tones import energy_share
from media.wav import read_wav
from tests.interop.baresip import baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town

pytestmark = pytest.mark.interop

DATAGRAMS = 10_000
BATCH = 100
BATCH_SECONDS = 0.02
SHARE_MIN = 0.95
SETTLE_SAMPLES = 1_600
FIRST_BYTES = (0, 1, 20, 22, 64, 128, 192, 0xC0, 0x49)
TEMPLATES = (
    b"INVITE sip:alice@home.example SIP/2.0\r\nVia: ",
    b"REGISTER sip:home.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK",
    b"\x00\x01\x00\x00\x21\x12\xa4\x42",
    b"\x80\x00\x00\x01",
)


def garbage(seed: int) -> Iterator[bytes]:
    """Random bytes, half of them behind a beginning that a parser takes seriously."""
    dice = random.Random(seed)
    for _ in range(DATAGRAMS):
        head = dice.choice(TEMPLATES) if dice.random() < 0.5 else bytes((dice.choice(FIRST_BYTES),))
        yield head + dice.randbytes(dice.randrange(0, 300))


def udp_ports(pid: int) -> list[int]:
    """The IPv4 UDP ports that a process has open."""
    inodes = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    ports = []
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in inodes:
            ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports


async def shower(ports: list[int]) -> None:
    """All of it to each port, in batches that an unhurried kernel does not drop."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number, data in enumerate(garbage(seed=20261121)):
            for port in ports:
                sock.sendto(data, ("127.0.0.1", port))
            if number % BATCH == 0:
                await trio.sleep(BATCH_SECONDS)


async def test_garbage_disturbs_no_running_call(town: Town) -> None:
    async with (
        baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice,
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await bob.wait_for("CALL_ESTABLISHED")
        (call,) = (await town.status(town.alice))["calls"]
        ports = udp_ports(town.alice.process.pid)
        assert {town.alice.overlay_port, town.alice.sip[1]} < set(ports), "and RTP and RTCP towards the phone"
        await shower(ports)
        status = await town.status(town.alice)
        assert [running["state"] for running in status["calls"]] == [call["state"]] == ["talking"]
        assert status["port"]["received"] > 0.9 * DATAGRAMS
        assert status["sip"]["transactions"] < 100
        assert status["overlay"]["malformed"] > 0
        assert len(status["phones"]) == 1
        await alice.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    for phone, hertz in ((alice, BOB_HERTZ), (bob, ALICE_HERTZ)):
        (recording,) = phone.recordings("dec")
        samples = read_wav(recording)[SETTLE_SAMPLES:]
        assert energy_share(samples[: len(samples) // 80 * 80], hertz) > SHARE_MIN
