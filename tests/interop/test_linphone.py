"""A real Linphone and a baresip at two nodes: hold and resume, digits, early media."""

import re

import pytest
import trio

from tests.interop.baresip import Baresip, baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town
from tests.interop.linphone import linphone
from tests.interop.test_hold import last_second, wait_for_direction

pytestmark = pytest.mark.interop

TALK_SECONDS = 2.0
EARLY_SECONDS_MAX = 10.0
DIGITS = "579"
PLAN = '[dial_plan]\ncountry = "DE"\n'
ANNOUNCEMENT_SECONDS_MAX = 40.0
G711_KILOBITS = 60.0
"""A second of G.711 is 64 kbit, with its headers 80."""


async def wait_for_digits(phone: Baresip) -> None:
    """Until it was told DIGITS, each once."""
    with trio.fail_after(EARLY_SECONDS_MAX):
        while True:
            told = [event["param"] for event in phone.events if event.get("type") == "CALL_DTMF_START"]
            if len(told) >= len(DIGITS):
                break
            await trio.sleep(0.1)
    assert "".join(told) == DIGITS


async def test_a_linphone_holds_a_call_takes_it_up_again_and_sends_digits(town: Town) -> None:
    async with (
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)) as bob,
        linphone(town.folder / "a", town.alice_phone, transport="tcp", authority=town.folder) as alice,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("call sip:bob@home.example")
        await alice.wait_for("LinphoneCallStreamsRunning")
        await bob.wait_for("CALL_ESTABLISHED")
        await alice.command(f"incall-player-start {town.speech('alice', ALICE_HERTZ)}")
        for digit in DIGITS:
            await alice.command(f"dtmf {digit}")
            await trio.sleep(0.5)
        await wait_for_digits(bob)
        await alice.command("call-pause 1")
        await wait_for_direction(town, "sendonly")
        await alice.command("call-resume 1")
        await wait_for_direction(town, "sendrecv")
        await trio.sleep(TALK_SECONDS)
        await alice.command("terminate 1")
        await bob.wait_for("CALL_CLOSED")
    assert last_second(bob, ALICE_HERTZ) > 0.9


@pytest.mark.parametrize("town", [PLAN], indirect=True, ids=["no trunk for emergencies"])
async def test_a_linphone_hears_what_comes_before_the_answer(town: Town) -> None:
    async with linphone(town.folder / "a", town.alice_phone, transport="udp", authority=town.folder) as alice:
        await town.wait_registered(town.alice)
        await alice.command("call sip:112@home.example")
        await alice.wait_for("LinphoneCallOutgoingEarlyMedia")
        await alice.wait_for("LinphoneCallError", ANNOUNCEMENT_SECONDS_MAX)
        messages = (town.folder / "a" / "messages").read_text(errors="replace")
    heard = [float(rate) for rate in re.findall(r"\(audio\) .*RTP : \[d=([0-9.]+)", messages)]
    assert max(heard) > G711_KILOBITS
