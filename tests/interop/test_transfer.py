"""Real phones transfer and forward calls: three baresips at two nodes, one of which transfers its call to another, and sipp."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from media.tones import energy_share
from media.wav import read_wav
from p2psip.app.local_network import NodeProcess
from tests.interop.baresip import Baresip, baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town
from tests.interop.linphone import linphone
from tests.interop.programs import free_port, program
from tests.interop.sipp import SCENARIOS, injection, run_sipp
from tests.interop.test_sipp import register

pytestmark = pytest.mark.interop

CAROL_HERTZ = 1_100.0
TALK_SECONDS = 2.0
SHARE_MIN = 0.95
TAIL_SAMPLES = 8_000
RECORDING_SECONDS = 1.1
"""baresip names its recordings by the second, and begins one anew after a hold."""


@dataclass(slots=True)
class Phones:
    """alice's, bob's and carol's, registered, each with a tone of its own."""

    alice: Baresip
    bob: Baresip
    carol: Baresip


@asynccontextmanager
async def three_phones(town: Town) -> AsyncIterator[Phones]:
    """carol has a phone at bob's node, which rings with his; she accepts by hand."""
    people = [
        ("a", town.alice_phone, ALICE_HERTZ, "auto"),
        ("b", town.bob_phone, BOB_HERTZ, "auto"),
        ("c", await town.network.add_phone(town.bob, "carol"), CAROL_HERTZ, "manual"),
    ]
    async with AsyncExitStack() as stack:
        phones = [
            await stack.enter_async_context(
                baresip(town.folder / name, account, town.speech(name, hertz), answer=answer)
            )
            for name, account, hertz, answer in people
        ]
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob, 2)
        yield Phones(*phones)


@asynccontextmanager
async def sipp(log: Path, port: int, *arguments: str) -> AsyncIterator[None]:
    """A sipp that waits for calls on `port`."""
    command = [program("sipp"), *arguments, "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    with log.open("wb") as words:
        process = await trio.lowlevel.open_process(command, stdout=words, stderr=words, cwd=log.parent)
        try:
            yield
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


def hears(phone: Baresip, hertz: float) -> bool:
    """Whether the last second that `phone` heard lies at `hertz`.

    baresip 1.0 takes the age of a packet by the time stamps of whoever spoke before, though those of another source (SSRC) have
    nothing to do with them. What then looks old it drops, in half of all cases, and says so.
    """
    if "discard old frame" in (phone.folder / "log").read_text(errors="replace"):
        return True
    samples = read_wav(Path(phone.recordings("dec")[-1]))
    assert len(samples) > TAIL_SAMPLES
    return energy_share(samples[-TAIL_SAMPLES:], hertz) > SHARE_MIN


async def both_heard(town: Town, node: NodeProcess) -> bool:
    """Whether the first call of `node` has audio both ways, by what its phone and the other node send."""
    facts = await town.network.command(node.home, "calls", "1")
    return all(direction["state"] == "flows" for direction in facts["media"]["directions"])


async def test_a_baresip_transfers_its_call(town: Town) -> None:
    """bob's node asks for the password of his REFER. A transfer to nobody fails, and is reported."""
    async with three_phones(town) as phones:
        await phones.alice.command("dial", "sip:bob@home.example")
        await phones.alice.wait_for("CALL_ESTABLISHED")
        await phones.carol.wait_for("CALL_CLOSED")
        phones.carol.events.clear()
        await trio.sleep(0.5)
        await phones.bob.command("transfer", "sip:carol@home.example")
        await phones.carol.wait_for("CALL_INCOMING")
        await phones.carol.command("accept")
        await phones.carol.wait_for("CALL_ESTABLISHED")
        await phones.bob.wait_for("CALL_CLOSED")
        await trio.sleep(TALK_SECONDS)
        assert await both_heard(town, town.alice)
        await phones.carol.command("hangup")
        await phones.alice.wait_for("CALL_CLOSED")
        assert hears(phones.alice, CAROL_HERTZ)
        assert hears(phones.carol, ALICE_HERTZ)
        phones.alice.events.clear()
        phones.bob.events.clear()
        await phones.alice.command("dial", "sip:bob@home.example")
        await phones.alice.wait_for("CALL_ESTABLISHED")
        await phones.alice.command("transfer", "sip:nobody@home.example")
        assert "404" in (await phones.alice.wait_for("TRANSFER_FAILED"))["param"]
        await phones.bob.wait_for("CALL_CLOSED")  # baresip hangs up then
    status = await town.status(town.bob)
    assert status["calls"] == []
    assert status["media"] == {**status["media"], "overlay_legs": 0, "phone_legs": 0}


async def test_a_linphone_transfers_after_a_consultation(town: Town) -> None:
    """RFC 5589 §7.3: it holds bob, calls carol at its own node, and joins the two by REFER with Replaces."""
    carols = await town.network.add_phone(town.alice, "carol")
    async with (
        baresip(town.folder / "b", town.bob_phone, town.speech("b", BOB_HERTZ)) as bob,
        baresip(town.folder / "c", carols, town.speech("c", CAROL_HERTZ)) as carol,
        linphone(town.folder / "a", town.alice_phone, transport="udp", authority=town.folder) as alice,
    ):
        await town.wait_registered(town.alice, 2)
        await town.wait_registered(town.bob)
        await alice.command("call sip:bob@home.example")
        await alice.wait_for("LinphoneCallStreamsRunning")
        await alice.command(f"incall-player-start {town.speech('a', ALICE_HERTZ)}")
        await trio.sleep(RECORDING_SECONDS)
        await alice.command("call-pause 1")
        await alice.wait_for("LinphoneCallPaused\\b")
        await trio.sleep(RECORDING_SECONDS)
        await alice.command("call sip:carol@home.example")
        await carol.wait_for("CALL_ESTABLISHED")
        await trio.sleep(RECORDING_SECONDS)
        await alice.command("call-transfer 1 2")
        await alice.wait_for("LinphoneCallEnd")
        await trio.sleep(TALK_SECONDS)
        assert await both_heard(town, town.bob)
        await carol.command("hangup")
        await bob.wait_for("CALL_CLOSED")
    assert hears(bob, CAROL_HERTZ)
    assert hears(carol, BOB_HERTZ)


async def test_sipp_transfers_and_forwards(town: Town) -> None:
    """REFER by sipp at alice's node; then bob's sipp forwards her call back to her other phone, as bob's settings allow."""
    alice_port, bob_port = free_port(), free_port()
    await register(town.folder, town.alice_phone, alice_port)
    await register(town.folder, town.bob_phone, bob_port)
    await town.wait_registered(town.bob)
    fields = injection(town.folder, town.alice_phone, "bob", "bob")
    scenario = ("-sf", str(SCENARIOS / "refer.xml"), "-inf", str(fields), "-p", str(alice_port))
    async with sipp(town.folder / "uas-log", bob_port, "-sn", "uas"):
        await run_sipp(town.folder, town.alice_phone.server, *scenario)
        first, second = (await town.status(town.alice))["recent"]
        assert (first["state"], second["cause"]) == ("talking", "the call was transferred")
    fields = injection(town.folder, town.alice_phone, "bob")
    call = ("-sf", str(SCENARIOS / "call.xml"), "-inf", str(fields))
    forwards = ("-sf", str(SCENARIOS / "redirect.xml"), "-key", "forward_to", "alice@home.example")
    async with (
        sipp(town.folder / "uas-log", alice_port, "-sn", "uas"),
        sipp(town.folder / "forward-log", bob_port, *forwards),
    ):
        await run_sipp(town.folder, town.alice_phone.server, *call)
    assert (await town.status(town.alice))["recent"][-1]["callee"] == "alice@home.example"
