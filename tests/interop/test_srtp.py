"""Phones that encrypt: baresip with SRTP, each at its own node, and the audio that both hear."""

import json
from pathlib import Path

import pytest
import trio

from media.tones import energy_share
from media.wav import read_wav
from tests.interop.baresip import Baresip, baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town
from tests.interop.linphone import linphone
from tests.interop.sipp import SCENARIOS, injection, run_sipp

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
        ("srtp-mandf", "srtp", "SRTP, AES_CM_128_HMAC_SHA1_80"),
        ("srtp", "srtp-mand", "SRTP, AES_CM_128_HMAC_SHA1_80"),
        ("dtls_srtp", "dtls_srtp", "DTLS-SRTP"),
    ],
    ids=["SAVPF to best effort", "best effort to SAVP", "DTLS to DTLS"],
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
        for speaker, hearer, digit in ((alice, bob, "5"), (bob, alice, "8")):
            await speaker.command("sndcode", digit)
            assert (await hearer.wait_for("CALL_DTMF_START"))["param"] == digit
        status = await town.status(town.alice)
        await alice.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    assert heard_share(alice, BOB_HERTZ) > SHARE_MIN
    assert heard_share(bob, ALICE_HERTZ) > SHARE_MIN
    (call,) = status["calls"]
    assert [end["path"]["protection"] for end in call["media"]["ends"] if end["kind"] == "phone"] == [protection]
    assert "inline:" not in json.dumps(status)


async def test_digits_by_info_are_heard_as_telephone_events(town: Town) -> None:
    fields = injection(town.folder, town.alice_phone, "bob")
    async with baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ), encryption="srtp-mand") as bob:
        await town.wait_registered(town.bob)
        scenario = ("-sf", str(SCENARIOS / "digits.xml"), "-inf", str(fields))
        await run_sipp(town.folder, town.alice_phone.server, *scenario)
        await bob.wait_for("CALL_CLOSED")
        started = [event["param"] for event in bob.events if event.get("type") == "CALL_DTMF_START"]
    assert started == ["5", "#"]


@pytest.mark.parametrize(("encryption", "protection"), [("srtp", "SRTP, "), ("dtls", "DTLS-SRTP")])
async def test_linphone_takes_encrypted_calls_only(town: Town, encryption: str, protection: str) -> None:
    bob_speaks = town.speech("bob", BOB_HERTZ)
    (town.folder / "b").mkdir()
    async with (
        baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice,
        linphone(
            town.folder / "b", town.bob_phone, transport="udp", authority=town.folder, encryption=encryption
        ) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await alice.wait_for("CALL_ESTABLISHED")
        await bob.wait_for("LinphoneCallStreamsRunning")
        await bob.command(f"incall-player-start {bob_speaks}")
        await trio.sleep(TALK_SECONDS)
        (call,) = (await town.status(town.bob))["calls"]
        await alice.command("hangup")
        await bob.wait_for("LinphoneCallEnd")
    (end,) = (each for each in call["media"]["ends"] if each["kind"] == "phone")
    assert end["path"]["protection"].startswith(protection)
    assert (end["undecryptable"], end["received"] > 0, end["sent"] > 0) == (0, True, True)
    assert heard_share(alice, BOB_HERTZ) > SHARE_MIN
