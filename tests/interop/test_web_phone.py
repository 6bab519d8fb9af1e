"""A phone in a browser: SIP over WebSocket and WebRTC with a real Chromium, to and from a desk phone at another node."""

from pathlib import Path

import pytest
import trio

from p2psip.app.local_network import LocalNetwork, PhoneAccount
from tests.interop.baresip import baresip
from tests.interop.browser import browser
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, WAIT_SECONDS_MAX, Town
from tests.interop.programs import free_port
from tests.interop.test_srtp import heard_share

pytestmark = pytest.mark.interop

PAGE = (Path(__file__).parent / "web_phone.html").read_text()
HERTZ_APART_MAX = 12.0
SHARE_MIN = 0.9


async def settle(network: LocalNetwork, folder: Path, ws_port: int) -> Town:
    """Alice's node has a door for browsers, bob's is an ordinary one."""
    bootstrap = await network.start_bootstrap()
    nodes = []
    for name, settings in (("alice", f"[sip]\nws_port = {ws_port}\n"), ("bob", "")):
        home = await network.join(name)
        (home / "p2psip.toml").write_text(settings)
        nodes.append(await network.up(home))
    alice, bob = nodes
    made = await network.command(alice.home, "phone", "add", "--algorithm", "SHA-256")
    browser_phone = PhoneAccount(made["name"], made["address"], made["password"], alice.sip)
    return Town(network, folder, bootstrap, alice, bob, browser_phone, await network.add_phone(bob))


async def test_a_browser_calls_and_is_called(tmp_path: Path) -> None:
    network, ws_port = LocalNetwork(tmp_path), free_port()
    try:
        town = await settle(network, tmp_path, ws_port)
        account = town.alice_phone
        settings = {
            "url": f"ws://127.0.0.1:{ws_port}/",
            "user": account.name,
            "password": account.password,
            "address": account.address,
            "target": town.bob_phone.address,
            "connection": {},
        }
        async with (
            baresip(tmp_path / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)) as bob,
            browser(tmp_path / "chromium", ALICE_HERTZ, page=PAGE) as page,
        ):
            await town.wait_registered(town.bob)
            await page.tell("settings", settings)
            assert await page.hear("local") == "registered"
            heard = await page.hear("heard")
            assert abs(heard["hertz"] - BOB_HERTZ) < HERTZ_APART_MAX
            await bob.wait_for("CALL_CLOSED")
            assert heard_share(bob, ALICE_HERTZ) > SHARE_MIN
            with trio.fail_after(WAIT_SECONDS_MAX):
                await town.wait_registered(town.alice)
            await bob.command("dial", f"sip:{account.address}")
            heard = await page.hear("heard")
            assert abs(heard["hertz"] - BOB_HERTZ) < HERTZ_APART_MAX
            status = await town.status(town.alice)
            (call,) = status["calls"]
            assert [end["kind"] for end in call["media"]["ends"]] == ["node", "web phone"]
            await bob.command("hangup")
    finally:
        await network.close()
