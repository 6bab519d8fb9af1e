"""coturn's test client against our TURN server: UDP, TCP and TLS, IPv4 and IPv6, channels and Send indications."""

import re

import pytest
import trio

from tests.interop.programs import program
from tests.media.turn.running import running

pytestmark = pytest.mark.interop

SECONDS_MAX = 60.0
CLIENT_TO_CLIENT = ("-y", "-n", "20")


async def _run(server: str, *options: str, **changes: object) -> tuple[int, str]:
    """The exit code and output of one run of the client. It chooses channel numbers as RFC 5766 allows."""
    async with running(channel_last=0x7FFF, **changes) as ours:
        grant = ours.grant
        command = [program("turnutils_uclient"), "-u", grant.username, "-w", grant.password]
        command += ["-p", str(ours.port.number), *options, server]
        with trio.fail_after(SECONDS_MAX):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert ours.port.counters.failed == ours.service.plane.failed == 0
        return done.returncode, (done.stdout + done.stderr).decode()


def _lost(output: str) -> int:
    found = re.findall(r"Total lost packets (\d+)", output)
    assert found, output
    return int(found[-1])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-c", "-D"),
        ("-s", "-g", "-G", "-N"),
        ("-m", "4", "-z", "5", "-l", "1200"),
        ("-t", "-s", "-m", "3", "-l", "1200"),
    ],
    ids=" ".join,
)
async def test_two_clients_talk_through_two_of_our_relays(options: tuple[str, ...]) -> None:
    code, output = await _run("127.0.0.1", *CLIENT_TO_CLIENT, *options)
    assert code == 0, output
    assert _lost(output) == 0, output


@pytest.mark.parametrize(("server", "family"), [("::1", "-x"), ("127.0.0.1", "-x"), ("::1", "-X")])
async def test_relayed_addresses_of_either_family_for_clients_of_either(server: str, family: str) -> None:
    code, output = await _run(server, *CLIENT_TO_CLIENT, family)
    assert code == 0, output
    assert _lost(output) == 0, output


async def test_through_tls() -> None:
    code, output = await _run("127.0.0.1", *CLIENT_TO_CLIENT, "-t", "-S", "-s")
    assert code == 0, output
    assert _lost(output) <= 8, output  # against coturn's own server it loses 2 to 4 of these 80


async def test_tcp_relaying_is_refused_by_442() -> None:
    code, output = await _run("127.0.0.1", "-T", "-n", "1", "-e", "127.0.0.1")
    assert code != 0
    assert "error 442" in output


async def test_private_peers_are_refused_by_403() -> None:
    code, output = await _run("127.0.0.1", *CLIENT_TO_CLIENT, allows_private=False)
    assert code != 0
    assert "error 403" in output
