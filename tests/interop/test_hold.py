"""Two real baresips, each at its own node: one holds the call and takes it up again, and both hear one another after it."""

from pathlib import Path

import pytest
import trio

from media.tones import energy_share
from media.wav import read_wav
from p2psip.app.control import ask
from tests.interop.baresip import Baresip, baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town

pytestmark = pytest.mark.interop

TALK_SECONDS = 2.0
SHARE_MIN = 0.95
LAST_SAMPLES = 8_000
CHANGE_SECONDS_MAX = 10.0


def last_second(phone: Baresip, hertz: float) -> float:
    """The share of the last second that `phone` heard that lies at `hertz`."""
    recording = phone.recordings("dec")[-1]
    return energy_share(read_wav(Path(recording))[-LAST_SAMPLES:], hertz)


async def wait_for_direction(town: Town, direction: str) -> None:
    """Until the phone of alice is known to have described itself so."""
    with trio.fail_after(CHANGE_SECONDS_MAX):
        while True:
            facts = await ask(town.alice.home, "call", number=1)
            if facts["media"] and facts["media"]["ends"][0]["direction"] == direction:
                return
            await trio.sleep(0.1)


async def test_hold_and_resume(town: Town) -> None:
    alice_speaks, bob_speaks = town.speech("alice", ALICE_HERTZ), town.speech("bob", BOB_HERTZ)
    async with (
        baresip(town.folder / "a", town.alice_phone, alice_speaks) as alice,
        baresip(town.folder / "b", town.bob_phone, bob_speaks) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await alice.wait_for("CALL_ESTABLISHED")
        await bob.wait_for("CALL_ESTABLISHED")
        for holder, held in ((alice, "sendonly"), (bob, "recvonly")):
            await trio.sleep(0.5)
            await holder.command("hold")
            await wait_for_direction(town, held)
            await holder.command("resume")
            await wait_for_direction(town, "sendrecv")
        await trio.sleep(TALK_SECONDS)
        await alice.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    assert last_second(alice, BOB_HERTZ) > SHARE_MIN
    assert last_second(bob, ALICE_HERTZ) > SHARE_MIN
