"""A real kamailio as the provider: calls both ways with audio, and what providers do when something is wrong."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import trio

from media.tones import energy_share, tone
from media.wav import read_wav, write_wav
from p2psip.app.control import ask
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from p2psip.base.errors import RemoteError
from p2psip.base.phone_certificates import issue_server, new_authority
from tests.interop.baresip import Baresip, baresip
from tests.interop.dns_servers import dns_servers
from tests.interop.kamailio import Provider, kamailio
from tests.interop.programs import free_port

pytestmark = pytest.mark.interop

ALICE_HERTZ, PSTN_HERTZ = 400.0, 700.0
TALK_SECONDS = 2.0
SHARE_MIN = 0.95
SETTLE_SAMPLES = 1_600
WAIT_SECONDS_MAX = 30.0
PSTN = "+4930999"
ACCOUNT, NUMBER = "4930123", "+4930123456"
TO_THE_ACCOUNT = f'    if ($rU == "{NUMBER}") {{ $rU = "{ACCOUNT}"; }}'

NO_FILES: Mapping[str, bytes] = MappingProxyType({})
DIAL_PLAN = """
[dial_plan]
country = "DE"
trunks = [{trunks}]
"""
TRUNK = """
[[trunk]]
name = "{name}"
server = "sip:127.0.0.1:{port}"
domain = "{domain}"
user = "{user}"
password_file = "trunk-password"
numbers = {{ "{number}" = "alice" }}
caller_id = "{number}"
"""


@dataclass(slots=True)
class Exchange:
    """A provider, and an overlay whose nodes know it."""

    provider: Provider
    network: LocalNetwork
    folder: Path

    async def node(self, name: str, settings: str, files: Mapping[str, bytes] = NO_FILES) -> NodeProcess:
        """A node with these settings and files; the password of the trunk is beside them."""
        home = await self.network.join(name)
        for file, content in files.items():
            (home / file).write_bytes(content)
        (home / "p2psip.toml").write_text(settings)
        (home / "trunk-password").write_text(self.provider.password + "\n")
        return await self.network.up(home)

    def trunk(self, name: str = "provider", **changes: object) -> str:
        """The settings of a trunk to the provider."""
        values: dict[str, object] = {
            "name": name,
            "port": self.provider.port,
            "domain": self.provider.domain,
            "user": ACCOUNT,
            "number": NUMBER,
        }
        return TRUNK.format(**values | changes)

    def pstn_account(self) -> PhoneAccount:
        """Somebody on the telephone network."""
        provider = self.provider
        return PhoneAccount(PSTN, f"{PSTN}@{provider.domain}", provider.password, ("127.0.0.1", provider.port))

    def speech(self, name: str, hertz: float) -> Path:
        """A WAV file of one tone."""
        path = self.folder / f"{name}.wav"
        if not path.exists():
            write_wav(path, tone(hertz, 30.0))
        return path

    async def trunks(self, node: NodeProcess) -> dict[str, Any]:
        """`p2psip trunks` of a node, by name."""
        return {each["name"]: each for each in await ask(node.home, "trunks")}

    async def wait_usable(self, node: NodeProcess, name: str = "provider") -> dict[str, Any]:
        """Until a trunk is registered."""
        with trio.fail_after(WAIT_SECONDS_MAX):
            while True:
                found: dict[str, Any] = (await self.trunks(node))[name]
                if found["usable"] and found["at"]:
                    return found
                await trio.sleep(0.2)

    async def wait_free(self, node: NodeProcess, name: str = "provider") -> None:
        """Until a trunk carries no call: a phone's call is over a moment before that of the provider."""
        with trio.fail_after(WAIT_SECONDS_MAX):
            while True:
                if not (await self.trunks(node))[name]["calls"]:
                    return
                await trio.sleep(0.1)

    async def refusal(self, node: NodeProcess, target: str) -> dict[str, Any]:
        """`p2psip call` of a node, which must not succeed."""
        command = [*self.network.program(node.home), "--json", "call", target, "--seconds", "1"]
        done = await trio.run_process(command, capture_stdout=True, check=False)
        assert done.returncode == 1
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    async def wait_everybody(self, node: NodeProcess) -> None:
        """Until the phone of `node` is registered there, and somebody on the telephone network at the provider."""
        with trio.fail_after(WAIT_SECONDS_MAX):
            while True:
                phones = (await ask(node.home, "status"))["phones"]
                if phones and len(self.provider.seen("REGISTER", PSTN)) >= (1 if self.provider.trusted else 2):
                    return
                await trio.sleep(0.1)


@asynccontextmanager
async def exchange(folder: Path, **behaviour: Any) -> AsyncIterator[Exchange]:
    """A kamailio that behaves so, and a bootstrap server."""
    network = LocalNetwork(folder)
    async with kamailio(Provider(folder / "kamailio", **behaviour)) as provider:
        try:
            await network.start_bootstrap()
            yield Exchange(provider, network, folder)
        finally:
            await network.close()


def heard_share(phone: Baresip, hertz: float) -> float:
    """The share of what `phone` heard that lies at `hertz`, without the first 200 ms."""
    (recording,) = phone.recordings("dec")
    samples = read_wav(recording)[SETTLE_SAMPLES:]
    assert len(samples) > 0.5 * TALK_SECONDS * 8_000
    return energy_share(samples[: len(samples) // 80 * 80], hertz)


def assert_both_heard(phone: Baresip, pstn: Baresip) -> None:
    """Alice's phone heard the telephone network, and the other way round."""
    assert heard_share(phone, PSTN_HERTZ) > SHARE_MIN
    assert heard_share(pstn, ALICE_HERTZ) > SHARE_MIN


async def wait_recorded(*phones: Baresip) -> None:
    """Until their recordings are whole: a baresip ends its files a moment after its call."""
    with trio.fail_after(WAIT_SECONDS_MAX):
        while True:
            try:
                for phone in phones:
                    read_wav(phone.recordings("dec")[0])
            except RemoteError:
                await trio.sleep(0.1)
            else:
                return


def forget_recordings(*phones: Baresip) -> None:
    """What comes now is of the next call."""
    for phone in phones:
        for path in phone.recordings("dec") + phone.recordings("enc"):
            path.unlink()


async def test_a_phone_calls_the_telephone_network_and_is_called(tmp_path: Path) -> None:
    behaviour = {"algorithm": "SHA-256", "trusted": PSTN, "nonce_expire": 1, "asks_in_dialogs": NUMBER}
    async with exchange(tmp_path, numbers=TO_THE_ACCOUNT, **behaviour) as world:
        alice = await world.node("alice", DIAL_PLAN.format(trunks='"provider"') + world.trunk())
        account = await world.network.add_phone(alice)
        async with (
            baresip(tmp_path / "p", world.pstn_account(), world.speech("pstn", PSTN_HERTZ)) as pstn,
            baresip(tmp_path / "a", account, world.speech("alice", ALICE_HERTZ)) as phone,
        ):
            await world.wait_usable(alice)
            await world.wait_everybody(alice)
            await phone.command("dial", "sip:030999@home.example")
            await phone.wait_for("CALL_ESTABLISHED")
            await trio.sleep(TALK_SECONDS)
            assert (await world.trunks(alice))["provider"]["calls"] == 1
            await phone.command("hangup")
            await pstn.wait_for("CALL_CLOSED")
            assert world.provider.seen("INVITE", f"From=sip:{NUMBER}@provider.example")
            assert len(world.provider.seen("BYE", f"From=sip:{NUMBER}")) == 2, "the nonce was stale by then"
            assert "algorithm=SHA-256" in world.provider.answered()
            phone.events.clear()
            pstn.events.clear()
            await wait_recorded(phone, pstn)
            assert_both_heard(phone, pstn)
            forget_recordings(phone, pstn)
            await pstn.command("dial", f"sip:{NUMBER}@provider.example")
            await pstn.wait_for("CALL_ESTABLISHED")
            incoming = await phone.wait_for("CALL_ESTABLISHED")
            assert incoming["peeruri"] == f"sip:{PSTN}@provider.example"
            await trio.sleep(TALK_SECONDS)
            await pstn.command("hangup")
            await phone.wait_for("CALL_CLOSED")
            await world.wait_free(alice)
    assert_both_heard(phone, pstn)


FAULTS = """
    if (is_method("REGISTER") && $rd == "loop.test") { www_challenge("$td", "1"); exit; }
    if (is_method("REGISTER|INVITE") && $rd == "busy.test") {
        append_to_reply("Retry-After: 900\\r\\n"); sl_send_reply("503", "Maintenance"); exit;
    }
    if (is_method("REGISTER") && $rd == "brief.test" && $hdr(Expires) != "1800") {
        append_to_reply("Min-Expires: 1800\\r\\n"); sl_send_reply("423", "Interval Too Brief"); exit;
    }
"""
SERVERS = """[dns]
servers = ["{host}:{port}"]
"""
OTHER_TRUNK = """
[[trunk]]
name = "{name}"
server = "sip:{server}"
user = "4930123"
password_file = "trunk-password"
certificate_authority = "authority.pem"
"""
LIVE = "live A 127.0.0.1\n"


def zones(provider: Provider) -> dict[str, str]:
    """The provider's domain has a dead server before the living one; at the other domains something is wrong."""
    udp = f"_sip._udp SRV 10 0 {provider.port} live\n{LIVE}"
    tls = f"_sips._tcp SRV 10 0 {provider.tls_port} live\n"
    return {
        "provider.test": f"_sip._udp SRV 5 0 {free_port()} dead\ndead A 127.0.0.1\n{udp}{tls}",
        "loop.test": udp,
        "busy.test": udp,
        "brief.test": udp,
        "imposter.test": tls + LIVE,
    }


async def test_a_dead_server_and_all_that_providers_do_wrong(tmp_path: Path) -> None:
    authority = new_authority("provider.test", time.time())
    issued = issue_server(authority, ["provider.test"], [], time.time())
    for name, pem in (("certificate", issued.certificate_pem), ("key", issued.key_pem)):
        (tmp_path / name).write_bytes(pem)
    behaviour = {"domain": "provider.test", "injected": FAULTS, "tls": (tmp_path / "certificate", tmp_path / "key")}
    async with exchange(tmp_path, **behaviour) as world:
        folder = tmp_path / "dns"
        folder.mkdir()
        async with dns_servers(folder, zones(world.provider)) as servers:
            wanted = {"busy": "busy.test;transport=udp", "good": "provider.test;transport=udp"}
            wanted |= {"loop": "loop.test;transport=udp", "brief": "brief.test;transport=udp"}
            wanted |= {"secure": "provider.test;transport=tls", "imposter": "imposter.test;transport=tls"}
            trunks = "".join(OTHER_TRUNK.format(name=name, server=server) for name, server in wanted.items())
            dns = SERVERS.format(host=servers.knot[0], port=servers.knot[1])
            plan = DIAL_PLAN.format(trunks='"busy", "secure"')
            files = {"authority.pem": authority.certificate_pem}
            alice = await world.node("alice", dns + plan + trunks, files)
            await _show_what_is_wrong(world, alice)
            await _call_over_the_next(world, alice)


async def _show_what_is_wrong(world: Exchange, alice: NodeProcess) -> None:
    good = await world.wait_usable(alice, "good")
    assert good["at"] == f"udp:127.0.0.1:{world.provider.port}", "the dead server was passed over"
    assert (await world.wait_usable(alice, "secure"))["at"] == f"tls:127.0.0.1:{world.provider.tls_port}"
    assert (await world.wait_usable(alice, "brief"))["expires_seconds"] > 600
    found = await world.trunks(alice)
    assert 'the password of user "4930123" is refused' in found["loop"]["last_error"]
    assert "503 Maintenance" in found["busy"]["last_error"]
    assert "imposter.test" in found["imposter"]["last_error"]
    assert not any(found[name]["usable"] for name in ("loop", "busy", "imposter"))
    assert len(world.provider.seen("REGISTER sip:loop.test")) == 2
    assert len(world.provider.seen("REGISTER sip:busy.test")) == 1
    assert not world.provider.seen("REGISTER sip:imposter.test")
    assert world.provider.password not in str(found)


async def _call_over_the_next(world: Exchange, alice: NodeProcess) -> None:
    account = await world.network.add_phone(alice)
    async with (
        baresip(world.folder / "p", world.pstn_account(), world.speech("pstn", PSTN_HERTZ)) as pstn,
        baresip(world.folder / "a", account, world.speech("alice", ALICE_HERTZ)) as phone,
    ):
        await world.wait_everybody(alice)
        await phone.command("dial", "sip:030999@home.example")
        await phone.wait_for("CALL_ESTABLISHED")
        assert world.provider.seen(f"INVITE sip:{PSTN}@busy.test")
        assert world.provider.seen(f"INVITE sip:{PSTN}@provider.test", "transport=tls")
        await trio.sleep(TALK_SECONDS)
        await phone.command("hangup")
        await pstn.wait_for("CALL_CLOSED")
    assert_both_heard(phone, pstn)


VIA = """
[[dial_plan.rules]]
match = "{match}"
via = "{member}@home.example"
"""


async def test_a_member_calls_over_the_trunk_of_another_and_nobody_else_does(tmp_path: Path) -> None:
    async with exchange(tmp_path) as world:
        own, offered = world.trunk() + "register = false\n", world.trunk() + 'offered_to = ["alice"]\n'
        plan = DIAL_PLAN.format(trunks='"provider"')
        bob = await world.node("bob", plan + VIA.format(match="+43.", member="alice") + offered)
        alice = await world.node("alice", plan + VIA.format(match="+49.", member="bob") + own)
        account = await world.network.add_phone(alice)
        async with (
            baresip(tmp_path / "p", world.pstn_account(), world.speech("pstn", PSTN_HERTZ)) as pstn,
            baresip(tmp_path / "a", account, world.speech("alice", ALICE_HERTZ)) as phone,
        ):
            await world.wait_usable(bob)
            await world.wait_everybody(alice)
            await phone.command("dial", "sip:030999@home.example")
            await phone.wait_for("CALL_ESTABLISHED")
            await trio.sleep(TALK_SECONDS)
            assert (await world.trunks(bob))["provider"]["calls"] == 1
            await phone.command("hangup")
            await pstn.wait_for("CALL_CLOSED")
            refused = await world.refusal(bob, "00431234567")
            assert refused["status"] == 403
            assert "no trunk of this node is offered to bob@home.example" in refused["why"]
            status = await ask(alice.home, "status")
            assert status["refused"]["counts"] == {"toll fraud": 1}
            assert len(world.provider.seen("INVITE")) == 2
    assert_both_heard(phone, pstn)
