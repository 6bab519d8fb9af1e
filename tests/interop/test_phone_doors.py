"""Real phones at every door of a node: baresip and Linphone over UDP, TCP and TLS, IPv4 and IPv6."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from media.tones import tone
from media.wav import write_wav
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from tests.interop.baresip import Baresip, baresip
from tests.interop.browser import browser
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, SPOKEN_SECONDS
from tests.interop.linphone import linphone
from tests.interop.programs import free_port, program
from tests.interop.test_baresip import SHARE_MIN, TALK_SECONDS, heard_share

pytestmark = pytest.mark.interop

REGISTERED_SECONDS_MAX = 20.0
SETTINGS = """
[sip]
more_hosts = ["::1"]
tls_port = {tls}
ws_port = {ws}
wss_port = {wss}
"""


@dataclass(slots=True)
class House:
    """One node with all doors open, and an account for each of two phones of its person."""

    network: LocalNetwork
    node: NodeProcess
    authority: Path
    accounts: list[PhoneAccount]

    def door(self, transport: str, host: str = "127.0.0.1") -> tuple[str, int]:
        """Where a phone registers."""
        (found,) = (each for each in self.node.ready["doors"] if (each["transport"], each["host"]) == (transport, host))
        return found["host"], found["port"]

    def account(self, number: int, transport: str, host: str = "127.0.0.1") -> PhoneAccount:
        """One of the accounts, for this door."""
        return replace(self.accounts[number], server=self.door(transport, host))

    async def wait_registered(self, *transports: str) -> None:
        """Until phones are registered over all of these."""
        with trio.fail_after(REGISTERED_SECONDS_MAX):
            while True:
                status = await self.network.command(self.node.home, "status")
                found = [phone["flow"].partition(":")[0] for phone in status["phones"]]
                if all(found.count(each) >= transports.count(each) for each in transports):
                    return


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The node is up."""
    network = LocalNetwork(tmp_path)
    try:
        await network.start_bootstrap()
        home = await network.join("alice")
        tls, ws, wss = (free_port() for _ in range(3))
        (home / "p2psip.toml").write_text(SETTINGS.format(tls=tls, ws=ws, wss=wss))
        node = await network.up(home)
        accounts = [await network.add_phone(node) for _ in range(2)]
        exported = await network.command(home, "phone", "ca", str(tmp_path / "ca.pem"))
        yield House(network, node, Path(exported["file"]), accounts)
    finally:
        await network.close()


PAIRS = [
    (("tls", "127.0.0.1"), ("udp", "::1")),
    (("tcp", "::1"), ("tls", "::1")),
]


async def test_phones_at_every_door_hear_one_another(house: House, tmp_path: Path) -> None:
    speech = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for path, hertz in zip(speech, (ALICE_HERTZ, BOB_HERTZ), strict=True):
        write_wav(path, tone(hertz, SPOKEN_SECONDS))
    for number, doors in enumerate(PAIRS):
        first, second = (house.account(each, *door) for each, door in enumerate(doors))
        trust = (f"sip_cafile {house.authority}",)
        folder = tmp_path / str(number)
        folder.mkdir()
        async with (
            baresip(folder / "a", first, speech[0], transport=doors[0][0], settings=trust) as one,
            baresip(folder / "b", second, speech[1], transport=doors[1][0], settings=trust) as two,
        ):
            await house.wait_registered(*(door[0] for door in doors))
            await call(one, two, f"sip:{second.name}@home.example")
        assert heard_share(one, BOB_HERTZ) > SHARE_MIN
        assert heard_share(two, ALICE_HERTZ) > SHARE_MIN


async def call(one: Baresip, two: Baresip, target: str) -> None:
    """A call; what was heard is in their recordings once they have ended."""
    await one.command("dial", target)
    await one.wait_for("CALL_ESTABLISHED")
    await two.wait_for("CALL_ESTABLISHED")
    await trio.sleep(TALK_SECONDS)
    await one.command("hangup")
    await two.wait_for("CALL_CLOSED")


async def test_linphone_registers_at_every_door_and_is_called(house: House, tmp_path: Path) -> None:
    speech = {name: tmp_path / f"{name}.wav" for name in ("linphone", "baresip")}
    write_wav(speech["linphone"], tone(BOB_HERTZ, SPOKEN_SECONDS))
    write_wav(speech["baresip"], tone(ALICE_HERTZ, SPOKEN_SECONDS))
    for transport, host in (("udp", "127.0.0.1"), ("tcp", "::1"), ("tls", "127.0.0.1")):
        caller, callee = house.account(0, "udp"), house.account(1, transport, host)
        folder = tmp_path / transport
        folder.mkdir()
        async with (
            baresip(folder / "a", caller, speech["baresip"]) as one,
            linphone(folder / "l", callee, transport=transport, authority=house.authority) as two,
        ):
            await house.wait_registered("udp", transport)
            await one.command("dial", f"sip:{callee.name}@home.example")
            await one.wait_for("CALL_ESTABLISHED")
            await two.wait_for("LinphoneCallStreamsRunning")
            await two.command(f"incall-player-start {speech['linphone']}")
            await trio.sleep(TALK_SECONDS)
            await one.command("hangup")
            await two.wait_for("LinphoneCallEnd")
        assert heard_share(one, BOB_HERTZ) > SHARE_MIN


ASKING_PAGE = """<!doctype html><script>
const say = (name, value) => fetch(`/say/${name}`, {method: "POST", body: JSON.stringify(value)});
async function main() {
  const settings = await (await fetch("/ask/settings")).json();
  const socket = new WebSocket(settings.url, "sip");
  socket.onerror = () => say("problem", `no connection to ${settings.url}`);
  socket.onmessage = event => say("heard", event.data);
  socket.onopen = () => socket.send(
    "OPTIONS sip:home.example SIP/2.0\\r\\nVia: SIP/2.0/WSS browser.invalid;branch=z9hG4bKasking\\r\\nMax-Forwards: 70\\r\\n" +
    "From: <sip:alice@home.example>;tag=asking\\r\\nTo: <sip:home.example>\\r\\nCall-ID: asking\\r\\nCSeq: 1 OPTIONS\\r\\n\\r\\n");
}
main().catch(error => say("problem", String(error)));
</script>"""


async def test_a_browser_comes_in_over_wss_if_it_trusts_the_certificate(house: House, tmp_path: Path) -> None:
    host, port = house.door("wss")
    shown = (house.node.home / "phones.pem").read_bytes()
    key = x509.load_pem_x509_certificate(shown).public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(public).digest()).decode()
    settings = {"url": f"wss://{host}:{port}/"}
    trust = f"--ignore-certificate-errors-spki-list={trusted}"
    async with browser(tmp_path / "trusting", ALICE_HERTZ, trust, page=ASKING_PAGE) as page:
        await page.tell("settings", settings)
        heard = await page.hear("heard")
        assert heard.startswith(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/WSS browser.invalid;branch=z9hG4bKasking;received=127.0.0.1"
        )
    async with browser(tmp_path / "doubting", ALICE_HERTZ, page=ASKING_PAGE) as page:
        await page.tell("settings", settings)
        with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="no connection to wss"), flatten_subgroups=True):
            await page.hear("heard")
    log = (house.node.home / "log").read_text()
    assert log.count("no connection for WSS from 127.0.0.1: TLS failed") == 1


async def test_sipsak_registers_asks_and_leaves_at_every_door(house: House) -> None:
    account = house.accounts[0]
    own = ("-C", f"sip:{account.name}@127.0.0.1:9", "-a", account.password, f"--auth-username={account.name}")
    for transport in ("udp", "tcp", "tls"):
        host, port = house.door(transport)
        server = f"sip:{account.address.partition('@')[0]}@{host}:{port}"
        way = (f"--transport={transport}", f"--tls-ca-cert={house.authority}")
        for arguments in (("-U", *own, "-x", "120"), ("-v",), ("-U", *own, "-x", "0")):
            command = [program("sipsak"), *way[: 2 if transport == "tls" else 1], *arguments, "-s", server]
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
            assert done.returncode == 0, (transport, done.stdout, done.stderr)


async def test_baresip_keeps_two_flows_and_rings_once(house: House, tmp_path: Path) -> None:
    speech = tmp_path / "speech.wav"
    write_wav(speech, tone(ALICE_HERTZ, SPOKEN_SECONDS))
    host, port = house.door("tls")
    second = f';sipnat=outbound;outbound2="sip:{host}:{port};transport=tls"'
    trust = (f"sip_cafile {house.authority}",)
    account = house.account(1, "tcp")
    async with (
        baresip(tmp_path / "a", house.account(0, "udp"), speech) as one,
        baresip(tmp_path / "b", account, speech, transport="tcp", parameters=second, settings=trust) as two,
    ):
        await house.wait_registered("udp", "tcp", "tls")
        await one.command("dial", f"sip:{account.name}@home.example")
        await one.wait_for("CALL_ESTABLISHED")
        await one.command("hangup")
        await two.wait_for("CALL_CLOSED")
        assert (two.folder / "log").read_text(errors="replace").count("\nINVITE sip:") == 1

        two.process.kill()
        with trio.fail_after(REGISTERED_SECONDS_MAX):
            while len((await house.network.command(house.node.home, "status"))["phones"]) > 1:
                pass  # both connections have ended with their phone
