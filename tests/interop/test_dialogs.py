"""sipp as both phones of a call: reliable provisional responses, UPDATE, session timers, hold, and re-INVITEs that cross."""

import subprocess

import pytest
import trio

from tests.interop.conftest import Town
from tests.interop.dialogs import Callee, Caller
from tests.interop.programs import free_port, program
from tests.interop.sipp import injection, run_sipp
from tests.interop.test_sipp import register

pytestmark = pytest.mark.interop

CALL_SECONDS_MAX = 25.0


async def run_call(town: Town, alice_port: int, bob_port: int, caller: Caller, callee: Callee) -> None:
    """Both scenarios to their end; AssertionError with the words of sipp when one of them does not end with success."""
    fields = injection(town.folder, town.alice_phone, "bob")
    command = ("-sf", str(caller.write(town.folder)), "-inf", str(fields), "-p", str(alice_port))
    folder = town.folder / callee.name
    folder.mkdir()
    log = folder / "sipp-errors"
    answering = [program("sipp"), "-sf", str(callee.write(folder)), "-i", "127.0.0.1", "-p", str(bob_port), "-m", "1"]
    answering += [
        "-nostdin",
        "-deadcall_wait",
        "0",
        "-timeout",
        "20",
        "-timeout_error",
        "-trace_err",
        "-error_file",
        str(log),
    ]
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            done = await trio.run_process(
                answering, cwd=folder, capture_stdout=True, stderr=subprocess.STDOUT, check=False
            )
            words = log.read_text(errors="replace") if log.exists() else ""
            assert done.returncode == 0, f"the callee ended with {done.returncode}: {words[-3000:]}"

        with trio.fail_after(CALL_SECONDS_MAX):
            nursery.start_soon(serve)
            await trio.sleep(0.3)
            try:
                await run_sipp(town.folder, town.alice_phone.server, *command)
            except AssertionError as error:
                words = log.read_text(errors="replace") if log.exists() else ""
                raise AssertionError(f"the callee said: {words[-2000:]}; the caller: {error}") from error


def hang_up(caller: Caller, callee: Callee) -> None:
    caller.ask("BYE")
    caller.receive_response(200)
    callee.receive_request("BYE")
    callee.respond(200)


def connect(caller: Caller, callee: Callee, *headers: str) -> None:
    """A call that stands."""
    caller.invite(*headers)
    callee.invited()
    callee.say(200, sdp="sendrecv")
    caller.receive_response(200)
    caller.acknowledge()
    callee.receive_request("ACK")
    caller.pause(300)


def reliable_responses_on_both_legs() -> tuple[Caller, Callee]:
    caller, callee = Caller("prack-caller"), Callee("prack-callee")
    caller.invite("Require: 100rel")
    callee.invited("Supported:.*100rel")
    callee.say(183, "Require: 100rel", "RSeq: 4711", sdp="sendrecv")
    callee.receive_request("PRACK", "RAck: 4711 1 INVITE")
    callee.respond(200)
    caller.receive_response(183, "Require: 100rel", "m=audio", keep={"rseq": ("RSeq", "[0-9]+")}, may=(100,))
    caller.ask("PRACK", "RAck: [$rseq] 1 INVITE")
    caller.receive_response(200, "CSeq: 2 PRACK")
    callee.pause(500)
    callee.say(200)
    callee.receive_request("ACK")
    caller.receive_response(200, "CSeq: 1 INVITE")
    caller.acknowledge_invite(1)
    caller.pause(300)
    hang_up(caller, callee)
    return caller, callee


def hold_and_resume_by_reinvite_and_by_update() -> tuple[Caller, Callee]:
    caller, callee = Caller("hold-caller"), Callee("hold-callee")
    connect(caller, callee)
    for method in ("INVITE", "UPDATE"):
        for offered, answered in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
            caller.ask(method, sdp=offered)
            callee.receive_request(method, f"a={offered}")
            callee.respond(200, sdp=answered)
            caller.receive_response(200, f"a={answered}")
            if method == "INVITE":
                caller.acknowledge()
                callee.receive_request("ACK")
            caller.pause(200)
    hang_up(caller, callee)
    return caller, callee


def reinvites_that_cross() -> tuple[Caller, Callee]:
    caller, callee = Caller("glare-caller"), Callee("glare-callee")
    connect(caller, callee)
    caller.ask("INVITE", sdp="sendonly")
    callee.hold_back()
    callee.pause(300)
    callee.ask("INVITE", sdp="sendonly")
    callee.receive_response(491)
    callee.acknowledge(failed=True)
    callee.answer_held("recvonly")
    callee.receive_request("ACK")
    caller.receive_response(200, "a=recvonly")
    caller.acknowledge()
    callee.pause(300)
    callee.ask("INVITE", sdp="sendonly")
    caller.receive_request("INVITE", "a=sendonly")
    caller.respond(200, sdp="recvonly")
    caller.receive_request("ACK")
    callee.receive_response(200, "a=recvonly")
    callee.acknowledge()
    caller.pause(300)
    hang_up(caller, callee)
    return caller, callee


def a_session_is_agreed_on_and_refreshed_on_each_leg() -> tuple[Caller, Callee]:
    caller, callee = Caller("timer-caller"), Callee("timer-callee")
    caller.invite("Supported: timer", "Session-Expires: 30")
    caller.receive_response(422, "Min-SE: 90")
    caller.acknowledge(failed=True)
    caller.invite("Supported: timer", "Session-Expires: 90;refresher=uac", "Min-SE: 90")
    callee.invited("Session-Expires: 1800")
    callee.say(200, "Require: timer", "Session-Expires: 600;refresher=uas", sdp="sendrecv")
    caller.receive_response(200, "Session-Expires: 90;refresher=uac", "Require: timer")
    caller.acknowledge()
    callee.receive_request("ACK")
    caller.ask("UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uac")
    caller.receive_response(200, "Session-Expires: 90;refresher=uac")
    callee.ask("INVITE", "Supported: timer", "Session-Expires: 600;refresher=uac", sdp="sendrecv")
    callee.receive_response(200, "Session-Expires: 600;refresher=uac", "m=audio")
    callee.acknowledge()
    caller.pause(700)
    hang_up(caller, callee)
    return caller, callee


async def test_sipp_at_both_ends(town: Town) -> None:
    """One call after the other, all between the same two nodes."""
    alice_port, bob_port = free_port(), free_port()
    await register(town.folder, town.alice_phone, alice_port)
    await register(town.folder, town.bob_phone, bob_port)
    await town.wait_registered(town.bob)
    for play in (
        reliable_responses_on_both_legs,
        hold_and_resume_by_reinvite_and_by_update,
        reinvites_that_cross,
        a_session_is_agreed_on_and_refreshed_on_each_leg,
    ):
        await run_call(town, alice_port, bob_port, *play())
    for node in (town.alice, town.bob):
        status = await town.status(node)
        assert status["calls"] == []
        assert [call["status"] for call in status["recent"] if call["status"] != 422] == [200] * 4
