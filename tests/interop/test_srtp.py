"""Phones that encrypt: baresip with SRTP, each at its own node, and the audio that both hear."""

import json
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


@pytest.mark.parametrize(
    ("caller", "callee", "protection"),
    [
        ("srtp-mand", "", "SRTP, AES_CM_128_HMAC_SHA1_80"),
        ("srtp-mandf", "srtp", "SRTP, AES_CM_128_HMAC_SHA1_80"),
        ("srtp", "srtp-mand", "SRTP, AES_CM_128_HMAC_SHA1_80"),
        ("dtls_srtp", "dtls_srtp", "DTLS-SRTP"),
    ],
    ids=["SAVP to RTP", "SAVPF to best effort", "best effort to SAVP", "DTLS to DTLS"],
)
async def test_a_phone_with_srtp_calls_one_at_another_node(
    town: Town, caller: str, callee: str, protection: str
) -> None:
    alice_speaks, bob_speaks = town.speech("alice", ALICE_HERTZ), town.speech("bob", BOB_HERTZ)
    async with (
        baresip(town.folder / "a", town.alice_phone, alice_speaks, encryption=caller) as alice,
        baresip(town.folder / "b", town.bob_phone, bob_speaks, encryption=callee) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await alice.wait_for("CALL_ESTABLISHED")
        await bob.wait_for("CALL_ESTABLISHED")
        await trio.sleep(TALK_SECONDS)
        status = await town.status(town.alice)
        await alice.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    assert heard_share(alice, BOB_HERTZ) > SHARE_MIN
    assert heard_share(bob, ALICE_HERTZ) > SHARE_MIN
    (call,) = status["calls"]
    assert [end["path"]["protection"] for end in call["media"]["ends"] if end["kind"] == "phone"] == [protection]
    assert "inline:" not in json.dumps(status)
