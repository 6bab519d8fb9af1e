"""Scanners and guessers against both doors of a real node: sipvicious, sipsak, and a guesser of our own that wastes no time.

They get nothing, are slowed, then blocked; the log and `p2psip status` tell of them; and phones of the node notice nothing.
"""

import os
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from p2psip.calls.limiter import PAIR_FAILURES_MAX
from p2psip.sip.build import make_request
from p2psip.sip.digest import Challenge, respond
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.uri import SipUri
from tests.interop.programs import free_port, program
from tests.interop.sipp import SCENARIOS, run_sipp
from tests.interop.test_sipp import answering, register

pytestmark = pytest.mark.interop

DOMAIN = "people.example"
SETTINGS = f'[domain]\nname = "{DOMAIN}"\nhosts = ["127.0.0.1"]\nport = 0\n'
NOTHING = "found nothing"
GUESSES = 40


@dataclass(slots=True)
class House:
    """A node with both doors open, and an account for a phone."""

    network: LocalNetwork
    folder: Path
    node: NodeProcess
    desk: PhoneAccount

    @property
    def public_port(self) -> int:
        return int(self.node.ready["domain"]["doors"][0]["port"])

    async def refused(self) -> dict[str, Any]:
        """What status tells of refusals, by kind and source."""
        status = await self.network.command(self.node.home, "status")
        return {each["kind"]: each for each in status["refused"]["recent"]}

    async def tool(self, *command: str) -> str:
        """Run a tool of sipvicious in a mount namespace of its own, where the domain's name is that of loopback; its words."""
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {DOMAIN}\n")
        mounted = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        done = await trio.run_process(
            [program("unshare"), "--mount", "sh", "-c", mounted, "sh", program(command[0]), *command[1:]],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "HOME": str(self.folder)},
        )
        return done.stdout.decode(errors="replace")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A node whose public door is open on loopback."""
    network = LocalNetwork(tmp_path)
    try:
        await network.start_bootstrap()
        home = await network.join("alice")
        (home / "p2psip.toml").write_text(SETTINGS)
        node = await network.up(home)
        yield House(network, tmp_path, node, await network.add_phone(node, "desk"))
    finally:
        await network.close()


async def test_scanners_of_the_public_door_learn_nothing(house: House) -> None:
    phone, port = free_port(), str(house.public_port)
    await register(house.folder, house.desk, phone)
    fields = house.folder / "stranger.csv"
    fields.write_text(f"SEQUENTIAL\nalice;{DOMAIN}\n")
    scenario = ("-sf", str(SCENARIOS / "stranger.xml"), "-inf", str(fields))
    async with answering(house.folder, phone):
        await run_sipp(house.folder, ("127.0.0.1", house.public_port), *scenario)
    status = await house.network.command(house.node.home, "status")
    assert [(each["caller"], each["status"]) for each in status["recent"]] == [("mallory@elsewhere.example", 200)]
    found: dict[str, str] = {}

    async def scan(name: str, *command: str) -> None:
        found[name] = await house.tool(*command)

    own = [address.partition("@")[0] for address in house.node.ready["addresses"]][1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scan, "hosts", "svmap", f"-p{port}", "127.0.0.1")
        for turn, method in enumerate(("INVITE", "OPTIONS", "REGISTER", "REGISTER", "INVITE", "REGISTER")):
            wanted = ("svwar", "--force", "-m", method, "-e", f"1900-1906,{own},1907", "-p", port, DOMAIN)
            nursery.start_soon(scan, f"{method} {turn}", *wanted)
    assert NOTHING in found["hosts"]
    assert all(f"{own} " not in words for words in found.values()), found
    refused = await house.refused()
    assert {"scan", "scanner blocked"} <= refused.keys()
    log = (house.node.home / "log").read_text()
    assert "scanner blocked by 127.0.0.1" in log
    assert log.count("scan by") < 5, "a line for each burst, not for each probe"
    status = await house.network.command(house.node.home, "status")
    assert len(status["recent"]) == 1, "nobody's phone rang"


async def test_guessers_of_passwords_are_slowed_and_blocked_and_phones_are_not(house: House) -> None:
    kitchen = await house.network.add_phone(house.node, "kitchen")
    server = f"{kitchen.server[0]}:{kitchen.server[1]}"
    words = [f"secret{number}" for number in range(PAIR_FAILURES_MAX + 1)]
    (house.folder / "dictionary").write_text("\n".join([*words, house.desk.password]) + "\n")
    phone = free_port()
    contact = ("-C", f"sip:kitchen@127.0.0.1:{phone}")
    mine = ("-u", "kitchen", "-a", kitchen.password)
    assert await sipsak("-U", *contact, "-s", f"sip:kitchen@{server}", "-x", "120", *mine) == 0
    assert await sipsak("-s", f"sip:kitchen@{server}") == 0, "OPTIONS"
    crack = ("svcrack", "-u", "desk", "-d", str(house.folder / "dictionary"), "-p", str(kitchen.server[1]), "127.0.0.1")
    assert NOTHING in await house.tool(*crack), "though the password was the next word"
    guesses = [*words, *words, *words, kitchen.password]
    answers = await trio.to_thread.run_sync(guess, kitchen.server, "cellar", guesses)
    assert set(answers) <= {401, 403}
    assert answers[-1] == 403
    refused = await house.refused()
    assert refused["wrong password"]["count"] <= 2 * PAIR_FAILURES_MAX + 2
    assert refused["password guessing"]["count"] >= 1
    log = (house.node.home / "log").read_text()
    assert "password guessing by 127.0.0.1" in log
    assert kitchen.password not in log
    assert await sipsak("-U", *contact, "-s", f"sip:kitchen@{server}", "-x", "120", *mine) == 0, "who is known goes on"
    at_public_door = ("-U", *contact, "-s", f"sip:kitchen@127.0.0.1:{house.public_port}", *mine)
    assert await sipsak(*at_public_door, seconds=2.0) != 0
    status = await house.network.command(house.node.home, "status")
    assert [each["account"] for each in status["phones"]] == ["kitchen"]


async def test_messages_spoilt_at_random_end_nothing(house: House) -> None:
    server = f"{house.desk.server[0]}:{house.desk.server[1]}"
    await sipsak("-R", "-t", "20", "-s", f"sip:desk@{server}")
    await sipsak("-F", "-e", "500", "-s", f"sip:desk@127.0.0.1:{house.public_port}")
    await register(house.folder, house.desk, free_port())
    refused = await house.refused()
    assert {"scan", "flood"} & refused.keys()


async def sipsak(*arguments: str, seconds: float = 10.0) -> int:
    """Run sipsak for so long; its exit code."""
    with trio.move_on_after(seconds):
        done = await trio.run_process(
            [program("sipsak"), *arguments], capture_stdout=True, stderr=subprocess.STDOUT, check=False
        )
        return done.returncode
    return -1


def guess(server: tuple[str, int], user: str, passwords: list[str]) -> list[int]:
    """REGISTER with each password, without waiting for the answers of the ones before; the final status of each."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(8)
        sock.connect(server)
        sock.send(_register(user, sock.getsockname()[1], "challenge").to_bytes())
        challenge = Challenge.parse(_response(sock.recv(4_096)).headers.get("WWW-Authenticate") or "")
        found: dict[str, int] = {}
        for number, password in enumerate(passwords):
            request = _register(user, sock.getsockname()[1], f"guess{number}")
            proof = respond(
                challenge,
                method="REGISTER",
                uri=str(request.uri),
                user=user,
                password=password,
                cnonce="c",
                nonce_count=number + 1,
            )
            request.headers.add("Authorization", proof)
            sock.send(request.to_bytes())
        while len(found) < len(passwords):
            response = _response(sock.recv(4_096))
            found[response.call_id] = response.status
    return [found[f"guess{number}"] for number in range(len(passwords))]


def _register(user: str, port: int, call_id: str) -> Request:
    address = NameAddr(None, SipUri.of_address(f"{user}@home.example"))
    request = make_request(
        "REGISTER",
        SipUri.parse("sip:home.example"),
        from_=address.with_tag(call_id),
        to=address,
        call_id=call_id,
        cseq=1,
        headers=[("Contact", f"<sip:{user}@127.0.0.1:{port}>")],
    )
    request.headers.insert_first("Via", f"SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id};rport")
    return request


def _response(data: bytes) -> Response:
    message = parse_message(data)
    assert isinstance(message, Response)
    return message
