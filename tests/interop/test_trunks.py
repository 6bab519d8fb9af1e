"""A real kamailio as the provider: calls both ways with audio, and what providers do when something is wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from media.tones import energy_share, tone
from media.wav import read_wav, write_wav
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from tests.interop.baresip import Baresip, baresip
from tests.interop.kamailio import Provider, kamailio

pytestmark = pytest.mark.interop

ALICE_HERTZ, PSTN_HERTZ = 400.0, 700.0
TALK_SECONDS = 2.0
SHARE_MIN = 0.95
SETTLE_SAMPLES = 1_600
WAIT_SECONDS_MAX = 15.0
PSTN = "+4930999"
ACCOUNT, NUMBER = "4930123", "+4930123456"
TO_THE_ACCOUNT = f'    if ($rU == "{NUMBER}") {{ $rU = "{ACCOUNT}"; }}'

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

    async def node(self, name: str, settings: str) -> NodeProcess:
        """A node with these settings; the password of the trunk is beside them."""
        home = await self.network.join(name)
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
        answer = await self.network.command(node.home, "trunks")
        return {each["name"]: each for each in answer}

    async def wait_usable(self, node: NodeProcess, name: str = "provider") -> dict[str, Any]:
        """Until a trunk is registered."""
        with trio.fail_after(WAIT_SECONDS_MAX):
            while True:
                found: dict[str, Any] = (await self.trunks(node))[name]
                if found["usable"] and found["at"]:
                    return found
                await trio.sleep(0.2)

    async def wait_everybody(self, node: NodeProcess) -> None:
        """Until the phone of `node` is registered there, and somebody on the telephone network at the provider."""
        with trio.fail_after(WAIT_SECONDS_MAX):
            while True:
                phones = (await self.network.command(node.home, "status"))["phones"]
                if phones and len(self.provider.seen("REGISTER", PSTN)) >= 2:
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


def forget_recordings(*phones: Baresip) -> None:
    """What comes now is of the next call."""
    for phone in phones:
        for path in phone.recordings("dec") + phone.recordings("enc"):
            path.unlink()


async def test_a_phone_calls_the_telephone_network_and_is_called(tmp_path: Path) -> None:
    async with exchange(tmp_path, numbers=TO_THE_ACCOUNT) as world:
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
            phone.events.clear()
            pstn.events.clear()
            assert_both_heard(phone, pstn)
            forget_recordings(phone, pstn)
            await pstn.command("dial", f"sip:{NUMBER}@provider.example")
            await pstn.wait_for("CALL_ESTABLISHED")
            incoming = await phone.wait_for("CALL_ESTABLISHED")
            assert incoming["peeruri"] == f"sip:{PSTN}@provider.example"
            await trio.sleep(TALK_SECONDS)
            await pstn.command("hangup")
            await phone.wait_for("CALL_CLOSED")
            assert (await world.trunks(alice))["provider"]["calls"] == 0
    assert_both_heard(phone, pstn)
