"""sipp as phones of two nodes: its stock uac and uas, and our scenarios with digest, over UDP and TCP."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2psip.app.local_network import PhoneAccount
from tests.interop.conftest import Town
from tests.interop.programs import free_port, program
from tests.interop.sipp import SCENARIOS, injection, run_sipp

pytestmark = pytest.mark.interop

CONCURRENT_CALLS = 8


async def register(
    folder: Path, account: PhoneAccount, port: int, *, transport: str = "udp", seconds: int = 120
) -> None:
    """REGISTER with digest; the contact is 127.0.0.1:`port`."""
    fields = injection(folder, account, str(port), str(seconds))
    scenario = ("-sf", str(SCENARIOS / "register.xml"), "-inf", str(fields), "-p", str(port))
    await run_sipp(folder, account.server, *scenario, transport=transport)


@asynccontextmanager
async def answering(folder: Path, port: int, *arguments: str) -> AsyncIterator[trio.Process]:
    """sipp's stock uas on `port`, echoing RTP."""
    command = [program("sipp"), "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-nostdin", "-rtp_echo", *arguments]
    log = (folder / "uas-log").open("wb")
    process = await trio.lowlevel.open_process(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        log.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_register_with_digest_and_leave_again(town: Town, transport: str) -> None:
    port = free_port()
    await register(town.folder, town.bob_phone, port, transport=transport)
    status = await town.status(town.bob)
    if transport == "udp":  # sipp closes its connection at the end, and with it the binding goes
        assert [phone["address"] for phone in status["phones"]] == ["bob@home.example"]
    await register(town.folder, town.bob_phone, port, transport=transport, seconds=0)
    assert (await town.status(town.bob))["phones"] == []


async def test_a_wrong_password_is_refused(town: Town) -> None:
    wrong = PhoneAccount(town.bob_phone.name, town.bob_phone.address, "wrong", town.bob_phone.server)
    with pytest.raises(AssertionError, match="401"):
        await register(town.folder, wrong, free_port())
    assert (await town.status(town.bob))["phones"] == []


async def test_calls_with_digest_reach_the_stock_uas_through_two_nodes(town: Town) -> None:
    port = free_port()
    await register(town.folder, town.bob_phone, port)
    await town.wait_registered(town.bob)
    fields = injection(town.folder, town.alice_phone, "bob")
    scenario = ("-sf", str(SCENARIOS / "call.xml"), "-inf", str(fields), "-l", str(CONCURRENT_CALLS), "-r", "20")
    async with answering(town.folder, port):
        await run_sipp(town.folder, town.alice_phone.server, *scenario, calls=CONCURRENT_CALLS)
    status = await town.status(town.alice)
    assert [call["status"] for call in status["recent"]] == [200] * CONCURRENT_CALLS
    assert status["calls"] == []
    assert status["media"] == {**status["media"], "overlay_legs": 0, "phone_legs": 0}


async def test_the_stock_uac_calls_from_a_registered_flow(town: Town) -> None:
    alice_port, bob_port = free_port(), free_port()
    await register(town.folder, town.alice_phone, alice_port)
    await register(town.folder, town.bob_phone, bob_port)
    await town.wait_registered(town.bob)
    async with answering(town.folder, bob_port):
        await run_sipp(town.folder, town.alice_phone.server, "-sn", "uac", "-s", "bob", "-p", str(alice_port))
    assert [call["status"] for call in (await town.status(town.alice))["recent"]] == [200]


async def test_a_call_over_tcp_towards_the_stock_uas(town: Town) -> None:
    port = free_port()
    await register(town.folder, town.bob_phone, port)
    await town.wait_registered(town.bob)
    fields = injection(town.folder, town.alice_phone, "bob")
    async with answering(town.folder, port):
        call = ("-sf", str(SCENARIOS / "call.xml"), "-inf", str(fields))
        await run_sipp(town.folder, town.alice_phone.server, *call, transport="tcp")
    assert [record["status"] for record in (await town.status(town.alice))["recent"]] == [200]
