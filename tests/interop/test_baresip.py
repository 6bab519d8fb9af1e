"""Two real baresips, each at its own node, call one another by name and by number, and hear one another."""

from pathlib import Path

import pytest
import trio

from media.tones import energy_share
from media.wav import read_wav
from tests.interop.baresip import Baresip, baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town

pytestmark = pytest.mark.interop

TALK_SECONDS = 2.0
SHARE_MIN = 0.95
SETTLE_SAMPLES = 1_600


def heard_share(phone: Baresip, hertz: float) -> float:
    """The share of what `phone` heard that lies at `hertz`, without the first 200 ms."""
    (recording,) = phone.recordings("dec")
    samples = read_wav(Path(recording))[SETTLE_SAMPLES:]
    assert len(samples) > 0.5 * TALK_SECONDS * 8_000
    return energy_share(samples[: len(samples) // 80 * 80], hertz)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("target", ["bob@home.example", "number"])
async def test_two_baresips_hear_one_another(town: Town, transport: str, target: str) -> None:
    alice_speaks, bob_speaks = town.speech("alice", ALICE_HERTZ), town.speech("bob", BOB_HERTZ)
    if target == "number":
        target = next(address for address in town.bob.ready["addresses"] if address[0].isdigit())
    async with (
        baresip(town.folder / "a", town.alice_phone, alice_speaks, transport=transport) as alice,
        baresip(town.folder / "b", town.bob_phone, bob_speaks, transport=transport) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", f"sip:{target}")
        await alice.wait_for("CALL_ESTABLISHED")
        await bob.wait_for("CALL_ESTABLISHED")
        await trio.sleep(TALK_SECONDS)
        await alice.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    assert heard_share(alice, BOB_HERTZ) > SHARE_MIN
    assert heard_share(bob, ALICE_HERTZ) > SHARE_MIN


async def test_a_call_to_somebody_who_is_away_says_why(town: Town) -> None:
    async with baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice:
        await town.wait_registered(town.alice)
        await alice.command("dial", "sip:bob@home.example")
        assert "480" in (await alice.wait_for("CALL_CLOSED"))["param"]
        alice.events.clear()
        await alice.command("dial", "sip:nobody@home.example")
        assert "404" in (await alice.wait_for("CALL_CLOSED"))["param"]
