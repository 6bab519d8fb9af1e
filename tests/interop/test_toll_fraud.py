"""Toll fraud through the trunk of a real node: a stolen phone, a stranger, a guesser. Nothing reaches the provider, all is told.

The provider is sipp, which would take any call. What other members of the overlay may not do is in `test_trunks`.
"""

from pathlib import Path
from typing import Any

import pytest

from p2psip.app.control import ask
from p2psip.app.local_network import LocalNetwork
from p2psip.app.quickcall import call_once
from p2psip.app.show import Printer
from p2psip.app.views import show_status
from tests.interop.programs import free_port
from tests.interop.sipp import SCENARIOS, run_sipp
from tests.interop.test_sipp import answering

pytestmark = pytest.mark.interop

DOMAIN = "people.example"
SETTINGS = """
[domain]
name = "{domain}"
hosts = ["127.0.0.1"]
port = 0

[[trunk]]
name = "provider"
server = "sip:127.0.0.1:{provider}"
domain = "provider.example"
user = "bench"
register = false
health_seconds = 0

[dial_plan]
country = "DE"
trunks = ["provider"]
"""
ALLOWED = "0301234567"
FORBIDDEN = {"09001234567": "premium", "0053712345678": "an unlisted country", "00882161234": "a satellite"}


async def test_nobody_makes_the_owner_of_a_trunk_pay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, provider = LocalNetwork(tmp_path), free_port()
    messages = tmp_path / "provider-messages"
    try:
        await network.start_bootstrap()
        home = await network.join("alice")
        (home / "p2psip.toml").write_text(SETTINGS.format(domain=DOMAIN, provider=provider))
        node = await network.up(home)
        public = ("127.0.0.1", int(node.ready["domain"]["doors"][0]["port"]))
        own = [address.partition("@")[0] for address in node.ready["addresses"]][1]
        async with answering(tmp_path, provider, "-trace_msg", "-message_file", str(messages)):
            assert (await _dial(home, ALLOWED))["status"] == 200
            calls = _invites(messages)
            assert calls > 0
            for number, why in FORBIDDEN.items():
                answer = await _dial(home, number)
                assert answer["status"] == 403, (why, answer)
            for user in ("+4930123456", "0301234567", own):
                fields = tmp_path / f"{user}.csv"
                fields.write_text(f"SEQUENTIAL\n{user};{DOMAIN}\n")
                with pytest.raises(AssertionError, match="480"):
                    await run_sipp(tmp_path, public, "-sf", str(SCENARIOS / "stranger.xml"), "-inf", str(fields))
            assert _invites(messages) == calls, "the provider heard of nothing but the call that was allowed"
        status = await ask(home, "status")
        kinds = status["refused"]["counts"]
        assert kinds["forbidden number"] == len(FORBIDDEN)
        assert kinds["scan"] >= 2
        show_status(Printer(as_json=False), status)
        words = capsys.readouterr().out
        assert "What was refused" in words
        assert "forbidden" in words
        log = (home / "log").read_text()
        assert "forbidden number by phone " in log
        assert " of alice@home.example: " in log
        assert "scan by 127.0.0.1" in log
    finally:
        await network.close()


async def _dial(home: Path, number: str) -> dict[str, Any]:
    """A phone of the node with the right password, as a thief has it."""
    target = f"sip:{number}@home.example"
    return await call_once(home, target, play=None, record=None, seconds=0.5)


def _invites(messages: Path) -> int:
    return messages.read_text(errors="replace").count("INVITE sip:") if messages.exists() else 0
