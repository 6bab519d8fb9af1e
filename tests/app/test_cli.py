"""The command line as a person types it: help, JSON, exit codes, and one clear sentence for each mistake."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from typer.testing import CliRunner

from media.tones import energy_share, tone
from media.wav import read_wav, write_wav
from p2psip.app.cli import INVITE_HOURS_MAX, app
from p2psip.app.handset import open_handset
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount, ProcessFailed
from p2psip.app.settings import SETTINGS_FILE
from p2psip.app.state import Membership, State
from p2psip.softphone.phone import Credentials, Softphone

COMMANDS = [
    "bootstrap",
    "invite",
    "revoke",
    "join",
    "up",
    "phone",
    "status",
    "lookup",
    "explain",
    "call",
    "calls",
    "doctor",
    "message",
    "demo",
    "simulate",
]
LINK = "p2psip://home.example?ca={}&at=127.0.0.1:1"


def run(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`p2psip` in its own process."""
    command = [sys.executable, "-m", "p2psip.app", "--home", str(home), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def assert_one_sentence(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """Exit code 1, nothing on standard output, one line that begins with our name."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("p2psip: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


@pytest.fixture
def member(tmp_path: Path) -> Path:
    """The folder of a machine that has joined; its keys are good for commands that start no node."""
    with closing(State(tmp_path)) as state:
        addresses = ("alice@home.example", "1001@home.example")
        state.save_membership(Membership("home.example", addresses, b"n", b"s", b"", b"", b"", ""))
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [[], *([name] for name in COMMANDS), *(["phone", n] for n in ("add", "list", "remove", "ca"))]
)
def test_every_command_explains_itself(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, [*arguments, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["dial", "bob"], ["call"], ["message", "bob"], ["join"], ["up", "--sip-port", "x"]]
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["--home", str(tmp_path), *arguments]).exit_code == 2


def test_phones_from_first_to_last(member: Path) -> None:
    def answer(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["--json", "--home", str(member), "phone", *arguments])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    new = answer("add")
    assert new.keys() == {
        "name",
        "address",
        "domain",
        "password",
        "server",
        "host",
        "port",
        "transport",
        "algorithm",
        "uri",
    }
    assert (new["name"], new["domain"], new["server"]) == ("alice", "home.example", "127.0.0.1:5060")
    assert (new["host"], new["port"]) == ("127.0.0.1", 5060)
    assert answer("add", "desk", "--algorithm", "SHA-256")["algorithm"] == "SHA-256"
    assert [(each["name"], each["algorithm"]) for each in answer("list")] == [("alice", "MD5"), ("desk", "SHA-256")]
    assert answer("remove", "alice") == {"removed": "alice"}
    assert [each["name"] for each in answer("list")] == ["desk"]


def test_a_person_sees_what_to_type(member: Path) -> None:
    done = CliRunner().invoke(app, ["--home", str(member), "phone", "add", "desk"])
    for words in ("desk", "shown only now", "home.example", "127.0.0.1:5060", "sip:alice@home.example"):
        assert words in done.stdout


def test_the_port_of_the_settings_is_printed_while_no_node_runs(member: Path) -> None:
    (member / SETTINGS_FILE).write_text("[sip]\nhost = '::1'\nport = 5070\n")
    done = CliRunner().invoke(app, ["--json", "--home", str(member), "phone", "add"])
    assert json.loads(done.stdout)["server"] == "[::1]:5070"


@pytest.mark.parametrize("arguments", [["status"], ["lookup", "bob"], ["call", "bob"], ["message", "bob", "hello"]])
def test_without_a_running_node_the_way_out_is_said(tmp_path: Path, arguments: list[str]) -> None:
    assert_one_sentence(run(tmp_path, *arguments), "no node is running", "p2psip up")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up"], "p2psip join LINK"),
        (["phone", "add"], "p2psip join LINK"),
        (["phone", "remove", "desk"], "no phone named desk"),
        (["invite"], "p2psip bootstrap"),
        (["join", "http://home.example", "--name", "alice"], "p2psip://"),
        (["join", LINK.format("xyz"), "--name", "alice"], "link"),
        (["--log-level", "loud", "up"], "on the command line, log.level"),
        (["up", "--sip-host", "localhost"], "on the command line, sip.host"),
        (["call", "bob", "--play", "missing.wav"], "missing.wav"),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    assert_one_sentence(run(tmp_path, *arguments), words)


@pytest.mark.parametrize("hours", ["0", "-5", "nan", str(INVITE_HOURS_MAX + 1)])
def test_an_invite_that_nobody_could_use_or_that_never_ends_is_not_made(tmp_path: Path, hours: str) -> None:
    done = CliRunner().invoke(app, ["--home", str(tmp_path), "invite", "--hours", hours])
    assert done.exit_code == 2
    assert "--hours takes more than 0" in done.output


# With a network of processes


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    """A bootstrap server that runs."""
    network = LocalNetwork(tmp_path)
    try:
        await network.start_bootstrap()
        yield network
    finally:
        await network.close()


@pytest.mark.slow
async def test_links_that_do_not_let_in(network: LocalNetwork) -> None:
    link = await network.invite()
    await network.command(network.folder / "alice", "join", link, "--name", "alice")
    fresh = await network.invite()
    refusals = {
        "used": (link, "bob"),
        "wrong": (fresh[:-4] + ("aaaa" if not fresh.endswith("aaaa") else "bbbb"), "bob"),
        "taken": (fresh, "alice"),
        "bad-name": (fresh, "Bob Smith"),
        "cut": (fresh[: len(fresh) // 2], "bob"),
    }
    for case, (offered, name) in refusals.items():
        with pytest.raises(ProcessFailed, match="ended with 1: p2psip: ") as caught:
            await network.command(network.folder / case, "join", offered, "--name", name)
        assert str(caught.value).count("\n") == 0, case
    with pytest.raises(ProcessFailed, match="joined an overlay already"):
        await network.command(network.folder / "alice", "join", fresh, "--name", "alice")
    await network.nodes[0].stop()
    with pytest.raises(ProcessFailed, match=r"ended with 1: p2psip: [^\n]+$"):
        await network.command(network.folder / "late", "join", fresh, "--name", "late")


def handset(account: PhoneAccount) -> Credentials:
    return Credentials(account.name, account.address, account.password, account.server)


async def wait_found(network: LocalNetwork, node: NodeProcess, name: str, *, devices: int) -> Any:
    """Until `lookup` finds so many devices of a person."""
    with trio.fail_after(40):
        while True:
            done = await trio.run_process(
                [sys.executable, "-m", "p2psip.app", "--home", str(node.home), "--json", "lookup", name],
                capture_stdout=True,
                check=False,
            )
            found = json.loads(done.stdout)
            assert done.returncode == (0 if found["registrations"] else 1)
            if len(found["registrations"]) == devices:
                return found


async def answer(phone: Softphone, heard: list[Any]) -> None:
    heard.append(await phone.answer(tone(800.0, 1.5)))


async def wait_heard(heard: list[Any]) -> None:
    """Until the phone that was called has a report."""
    with trio.fail_after(5):
        while not heard:  # noqa: ASYNC110 - ended by packets of another process
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_an_afternoon_at_the_command_line(network: LocalNetwork) -> None:
    alice = await network.up(await network.join("alice"))
    bob = await network.up(await network.join("bob"))
    account = await network.command(bob.home, "phone", "add")
    assert (account["host"], account["port"]) == tuple(bob.ready["sip"])  # the running node's, not the settings'
    with pytest.raises(ProcessFailed, match=r"running in .* already"):
        await network.up(bob.home)
    assert (await network.command(bob.home, "status"))["node"]["published"] is False  # the first one still answers
    credentials = Credentials(account["name"], account["address"], account["password"], bob.sip)
    speech, recording = network.folder / "speech.wav", network.folder / "heard.wav"
    write_wav(speech, tone(500.0, 1.5))
    heard: list[Any] = []
    async with open_handset(credentials) as phone, trio.open_nursery() as nursery:
        await phone.register()
        await wait_found(network, alice, "bob", devices=1)
        nursery.start_soon(answer, phone, heard)
        files = ["--play", str(speech), "--record", str(recording)]
        report = await network.command(alice.home, "call", "bob", *files)
        assert (report["status"], report["recording"], report["ended_by"]) == (200, str(recording), "us")
    assert energy_share(read_wav(recording)[2000:10_000], 800.0) > 0.9
    assert energy_share(heard[0].heard[2000:10_000], 500.0) > 0.9
    (brief,) = await network.command(alice.home, "calls")
    record = await network.command(alice.home, "calls", str(brief["number"]))
    assert record["media"]["verdict"] == brief["audio"] == "audio flows both ways"
    assert [end["kind"] for end in record["media"]["ends"]] == ["phone", "node"]
    assert record["media"]["ends"][0]["path"]["heard_from"] == record["media"]["ends"][0]["path"]["announced"]
    shown = await network.command(alice.home, "doctor", "--call", str(brief["number"]))
    assert shown["media"] == record["media"]
    with pytest.raises(ProcessFailed):
        await network.command(alice.home, "call", "nobody")
    with pytest.raises(ProcessFailed):
        await network.command(alice.home, "message", "nobody", "hello")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_calls_and_registrations(network: LocalNetwork, number: signal.Signals) -> None:
    alice = await network.up(await network.join("alice"))
    bob = await network.up(await network.join("bob"))
    accounts = await network.add_phone(alice), await network.add_phone(bob)
    heard: list[Any] = []
    async with open_handset(handset(accounts[0])) as calling, open_handset(handset(accounts[1])) as called:
        await called.register()
        await wait_found(network, alice, "bob", devices=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, called, heard)
            nursery.start_soon(calling.call, "bob", tone(500.0, 1.0), 60.0)
            while not (await network.command(bob.home, "status"))["calls"]:  # noqa: ASYNC110 - another process
                await trio.sleep(0.05)
            await trio.sleep(1.0)
            bob.process.send_signal(number)
            with trio.fail_after(10):
                assert await bob.process.wait() == 0
            await wait_heard(heard)
            nursery.cancel_scope.cancel()
    assert heard[0].ended_by not in ("", "us")  # a BYE came
    found = await wait_found(network, alice, "bob", devices=0)
    assert found["name_exists"]


def test_the_authority_for_phones_is_shown_whole(member: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--home", str(member), "phone", "ca", str(tmp_path / "copy.pem")])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "copy.pem") in done.stdout.splitlines()
    (fingerprint,) = re.findall(r"^SHA-256 ([0-9A-F:]+)$", done.stdout, re.MULTILINE)
    assert len(fingerprint) == 32 * 3 - 1
    assert (tmp_path / "copy.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
