"""A domain between an overlay and the open SIP world, with real names: Knot has NAPTR and SRV, and everybody goes by them.

Strangers (our softphone, a baresip that looks names up itself, and sipp) call somebody who lives at another node than that of the
domain; a person calls somebody at a kamailio of another domain, over TLS, and past a dead server over UDP.
"""

import ssl
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import trio

from media.service import MediaService
from media.tones import energy_share, tone
from media.wav import read_wav, write_wav
from p2psip.app.control import ask
from p2psip.app.handset import HandsetAudio
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from p2psip.app.quickcall import call_once
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.phone_certificates import Issued, issue_server, new_authority
from p2psip.naming.locating import Destination, Reach, locate
from p2psip.naming.routing import Transport
from p2psip.net.clock import Clock
from p2psip.net.dns import DnsClient
from p2psip.net.port import NodePort
from p2psip.sip.flow import Flow
from p2psip.sip.service import SipService
from p2psip.sip.tls import trusting_context
from p2psip.softphone.phone import CallReport, Credentials, Softphone
from tests.interop.baresip import Baresip, baresip
from tests.interop.dns_servers import dns_servers
from tests.interop.kamailio import Provider, kamailio
from tests.interop.programs import free_port
from tests.interop.sipp import SCENARIOS, run_sipp

pytestmark = pytest.mark.interop

DOMAIN, FAR = "people.test", "far.test"
BOB_HERTZ, CAROL_HERTZ, STRANGER_HERTZ, OWN_HERTZ = 700.0, 900.0, 500.0, 440.0
TALK_SECONDS = 1.5
SHARE_MIN = 0.9
SETTLE_SAMPLES, BLOCK_SAMPLES = 1_600, 800
WAIT_SECONDS_MAX = 30.0
SETTINGS = """
[domain]
name = "people.test"
hosts = ["127.0.0.1"]
port = {port}
tls_port = {tls_port}
certificate = "door.pem"
key = "door.key"
people = ["bob"]
calls_per_host_max = 4

[dns]
servers = ["{dns}"]

[dial_plan]
country = "DE"
domains = ["*"]
private_hosts = true
"""
ZONE = """
@ NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp
@ NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp
_sips._tcp SRV 10 0 {tls} node
_sip._udp SRV 5 0 {dead} node
_sip._udp SRV 10 0 {udp} node
node A 127.0.0.1
"""


@dataclass(slots=True)
class Country:
    """Everything that runs."""

    folder: Path
    network: LocalNetwork
    issuer: Issued
    authority: Path
    far: Provider
    dns: Address
    alice: NodeProcess
    bob: NodeProcess
    bob_phone: PhoneAccount

    def speech(self, name: str, hertz: float) -> Path:
        path = self.folder / f"{name}.wav"
        write_wav(path, tone(hertz, 60.0))
        return path


def issue(folder: Path, authority: Issued, name: str, stem: str) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    issued = issue_server(authority, [name], [], time.time())
    paths = folder / f"{stem}.pem", folder / f"{stem}.key"
    for path, content in zip(paths, (issued.certificate_pem, issued.key_pem), strict=True):
        path.write_bytes(content)
    return paths


@asynccontextmanager
async def country(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Country]:
    """The DNS, the far domain, and an overlay with two nodes, of which alice's has the door of the domain."""
    authority = new_authority(DOMAIN, time.time())
    (folder / "authority.pem").write_bytes(authority.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))  # whom the machine of the nodes trusts
    pair = issue(folder, authority, FAR, "far")
    far = Provider(folder / "kamailio", domain=FAR, trusted="alice", tls=pair)
    port, tls_port = free_port(), free_port()
    zones = {
        DOMAIN: ZONE.format(tls=tls_port, dead=free_port(), udp=port),
        FAR: ZONE.format(tls=far.tls_port, dead=free_port(), udp=far.port),
    }
    (folder / "dns").mkdir()
    network = LocalNetwork(folder)
    async with kamailio(far), dns_servers(folder / "dns", zones) as servers:
        try:
            await network.start_bootstrap()
            home = await network.join("alice")
            issue(home, authority, DOMAIN, "door")
            dns = f"{servers.knot[0]}:{servers.knot[1]}"
            (home / "p2psip.toml").write_text(SETTINGS.format(port=port, tls_port=tls_port, dns=dns))
            alice = await network.up(home)
            bob = await network.up(await network.join("bob"))
            phone = await network.add_phone(bob)
            yield Country(folder, network, authority, folder / "authority.pem", far, servers.knot, alice, bob, phone)
        finally:
            await network.close()


class Locating(SipService):
    """SIP of a softphone that finds the server of the domain by the DNS, and believes no other certificate than one of its."""

    def __init__(self, world: Country, transport: Transport, name: str = "") -> None:
        super().__init__(Clock().now, Chance.system(), user_agent="a stranger")
        self._world = world
        self._transport = transport
        self._name = name

    async def connect(
        self, transport: str, remote: Address, *, host: str = "", context: ssl.SSLContext | None = None
    ) -> Flow:
        """The last of the servers, for the first one over UDP is dead."""
        client = DnsClient((self._world.dns,), clock=Clock(), chance=Chance.seeded(1))
        located = await client.run(
            locate(Destination(DOMAIN, transport=self._transport), Reach((self._transport,)), Chance.seeded(1))
        )
        hop = located.hops[-1]
        trusting = trusting_context(self._world.authority)
        return await super().connect(hop.transport, hop.address, host=self._name or hop.host, context=trusting)


async def stranger_calls(world: Country, transport: Transport, name: str = "") -> CallReport:
    """Mallory of elsewhere calls bob of the domain, and speaks."""
    clock, chance, port = Clock(), Chance.system(), NodePort.bind(["127.0.0.1"], 0)
    sip = Locating(world, transport, name)
    media = MediaService(port=port, clock=clock, chance=chance, phone_host="127.0.0.1", rtp_ports=(31_000, 31_100))
    async with trio.open_nursery() as nursery:
        await nursery.start(port.run)
        await nursery.start(media.run)
        await nursery.start(sip.run)
        await sip.listen_udp("127.0.0.1", 0)
        credentials = Credentials("mallory", "mallory@elsewhere.test", "", ("127.0.0.1", 9), transport)
        phone = Softphone(credentials, sip, HandsetAudio(media, clock, chance), chance)
        try:
            report = await phone.call(f"sip:bob@{DOMAIN}", tone(STRANGER_HERTZ, TALK_SECONDS + 1), TALK_SECONDS)
        except RemoteError as error:
            report = CallReport(error.status, why=str(error))
        nursery.cancel_scope.cancel()
    return report


def share(samples: "array[int]", hertz: float) -> float:
    """The share of a tone in what was heard without the first 200 ms: the median of blocks, for a busy machine drops a packet."""
    starts = range(SETTLE_SAMPLES, len(samples) - BLOCK_SAMPLES, BLOCK_SAMPLES)
    assert len(starts) * BLOCK_SAMPLES > 0.4 * TALK_SECONDS * 8_000, "too little was heard"
    return median(energy_share(samples[start : start + BLOCK_SAMPLES], hertz) for start in starts)


async def heard_by(phone: Baresip, hertz: float) -> float:
    """The same of a baresip, whose recording is whole a moment after the call; it is taken away for the next one."""
    with trio.fail_after(WAIT_SECONDS_MAX):
        while True:
            try:
                (recording,) = phone.recordings("dec")
                samples = read_wav(recording)
            except (ValueError, RemoteError):
                samples = array("h")
            if samples:
                break
            await trio.sleep(0.1)
    for path in phone.recordings("dec") + phone.recordings("enc"):
        path.unlink()
    return share(samples, hertz)


async def test_strangers_call_in_and_people_call_out_by_the_names_of_a_real_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(tmp_path, monkeypatch) as world:
        async with baresip(tmp_path / "b", world.bob_phone, world.speech("bob", BOB_HERTZ)) as phone:
            await _wait_published(world.bob)
            await _strangers_call_in(world, phone)
            await _others_do_the_same(world, phone)
        await _people_call_out(world)
        await _the_certificate_is_renewed(world)


async def _wait_published(node: NodeProcess) -> None:
    with trio.fail_after(WAIT_SECONDS_MAX):
        while True:
            status = await ask(node.home, "status")
            if status["phones"] and status["node"]["published"]:
                return
            await trio.sleep(0.1)


async def _wait_registered(far: Provider) -> None:
    with trio.fail_after(WAIT_SECONDS_MAX):
        while True:
            if len(far.seen("REGISTER", "carol")) >= 2:  # the first one was challenged
                return
            await trio.sleep(0.1)


async def _strangers_call_in(world: Country, phone: Baresip) -> None:
    transports: tuple[Transport, ...] = ("udp", "tls")
    for transport in transports:
        report = await stranger_calls(world, transport)
        assert report.status == 200, (transport, report)
        assert share(report.heard, BOB_HERTZ) > SHARE_MIN
        incoming = await phone.wait_for("CALL_ESTABLISHED")
        assert incoming["peeruri"] == "sip:mallory@elsewhere.test"
        await phone.wait_for("CALL_CLOSED")
        assert await heard_by(phone, STRANGER_HERTZ) > SHARE_MIN
        phone.events.clear()
    assert "not of another.test" in (await stranger_calls(world, "tls", "another.test")).why
    log = (phone.folder / "log").read_text(errors="replace")
    assert 'From: "not verified: mallory@elsewhere.test" <sip:mallory@elsewhere.test>' in log


async def _others_do_the_same(world: Country, phone: Baresip) -> None:
    """A baresip, which goes by the same zone for itself, and sipp, which is told where to go."""
    mallory = PhoneAccount("mallory", "mallory@elsewhere.test", "", ("127.0.0.1", 9))
    names = (f"dns_server {world.dns[0]}:{world.dns[1]}", f"sip_cafile {world.authority}")
    speech = world.speech("mallory", STRANGER_HERTZ)
    async with baresip(world.folder / "m", mallory, speech, settings=names, registers=False) as stranger:
        await stranger.command("dial", f"sip:bob@{DOMAIN}")
        await stranger.wait_for("CALL_ESTABLISHED")
        await phone.wait_for("CALL_ESTABLISHED")
        await trio.sleep(TALK_SECONDS)
        await stranger.command("hangup")
        await phone.wait_for("CALL_CLOSED")
        assert await heard_by(phone, STRANGER_HERTZ) > SHARE_MIN
        assert await heard_by(stranger, BOB_HERTZ) > SHARE_MIN
    fields = world.folder / "stranger.csv"
    fields.write_text(f"SEQUENTIAL\nbob;{DOMAIN}\n")
    door = world.alice.ready["domain"]["doors"][0]
    scenario = ("-sf", str(SCENARIOS / "stranger.xml"), "-inf", str(fields))
    await run_sipp(world.folder, ("127.0.0.1", int(door["port"])), *scenario)


async def _people_call_out(world: Country) -> None:
    carol = PhoneAccount("carol", f"carol@{FAR}", world.far.password, ("127.0.0.1", world.far.port))
    recording = world.folder / "alice-heard.wav"
    async with baresip(world.folder / "c", carol, world.speech("carol", CAROL_HERTZ)) as phone:
        await _wait_registered(world.far)
        for target, transport in ((f"sip:carol@{FAR}", "tls"), (f"sip:carol@{FAR};transport=udp", "udp")):
            report: dict[str, Any] = await call_once(
                world.alice.home, target, play=None, record=recording, seconds=TALK_SECONDS
            )
            assert report["status"] == 200, (target, report)
            incoming = await phone.wait_for("CALL_ESTABLISHED")
            assert incoming["peeruri"] == f"sip:alice@{DOMAIN}", "who can be called back by the same zone"
            await phone.wait_for("CALL_CLOSED")
            assert share(read_wav(recording), CAROL_HERTZ) > SHARE_MIN
            assert await heard_by(phone, OWN_HERTZ) > SHARE_MIN
            seen = world.far.seen("INVITE sip:carol@far.test", f"From=sip:alice@{DOMAIN}")
            assert ("transport=tls" in seen[-1]) is (transport == "tls"), seen  # a busy machine repeats them
            phone.events.clear()


async def _the_certificate_is_renewed(world: Country) -> None:
    """A pair of another name is put beside a running node, and then a good one: new connections see the last good one."""
    home = world.alice.home
    before = (home / "door.pem").read_text()
    issue(home, world.issuer, "another.test", "door")
    assert await _shown(world) == before
    new, _ = issue(home, world.issuer, DOMAIN, "door")
    assert await _shown(world) == new.read_text() != before
    assert (await stranger_calls(world, "tls")).status == 480, "the door works on, and bob's phone is gone"
    log = (home / "log").read_text()
    assert log.count("shown the old certificate") == 1
    assert "one of another.test, not of people.test" in log


async def _shown(world: Country) -> str:
    port = next(each["port"] for each in world.alice.ready["domain"]["doors"] if each["transport"] == "tls")
    return await trio.to_thread.run_sync(ssl.get_server_certificate, ("127.0.0.1", int(port)))
