"""Digits between phones that say them in different ways: baresip by telephone events, sipp as one that takes INFO only."""

from functools import partial

import pytest
import trio

from tests.interop.baresip import baresip
from tests.interop.conftest import ALICE_HERTZ, Town
from tests.interop.programs import free_port
from tests.interop.sipp import SCENARIOS, injection, run_sipp

pytestmark = pytest.mark.interop


async def test_telephone_events_reach_a_phone_that_takes_info_only(town: Town) -> None:
    port = free_port()
    fields = injection(town.folder, town.bob_phone, str(port), "120")
    scenario = ("-sf", str(SCENARIOS / "register.xml"), "-inf", str(fields), "-p", str(port))
    await run_sipp(town.folder, town.bob_phone.server, *scenario)
    speech = town.speech("alice", ALICE_HERTZ)
    async with baresip(town.folder / "a", town.alice_phone, speech) as alice, trio.open_nursery() as nursery:
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        hears = ("-sf", str(SCENARIOS / "info_only.xml"), "-p", str(port))
        nursery.start_soon(partial(run_sipp, town.folder, town.bob_phone.server, *hears))
        await alice.command("dial", "sip:bob@home.example")
        await alice.wait_for("CALL_ESTABLISHED")
        await trio.sleep(0.5)
        await alice.command("sndcode", "5#")
        await trio.sleep(2.0)
        await alice.command("hangup")  # and sipp ends, with success if it has heard both, once and in order
