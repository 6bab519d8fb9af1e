"""The world outside as the settings describe it: what is composed of them, and what is not."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2psip.app.settings import SETTINGS_FILE, SettingsError, load_settings
from p2psip.app.trunking import MemberNodes, Trunking
from p2psip.base.chance import Chance
from p2psip.calls.ports import Whereabouts
from p2psip.sip.flow import Flow
from tests.calls.world import Node, TrioClock, World, world

TRUNK = (
    '[[trunk]]\nname = "provider"\nserver = "sip:192.0.2.9"\nuser = "4930123"\nregister = false\nhealth_seconds = 0\n'
)


async def _trunking(w: World, home: Path, text: str) -> tuple[Node, Trunking]:
    (home / SETTINGS_FILE).write_text(text)
    node = await w.node("alice", "1001")
    trunking = Trunking(
        load_settings(home),
        ("alice@home.example", "1001@home.example"),
        home=home,
        sip=node.sip,
        calls=node.server,
        directory=node.directory,
        clock=TrioClock(),
        chance=Chance.seeded(b"trunking"),
    )
    return node, trunking


async def test_without_settings_nothing_is_reached(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with world() as w:
        _node, trunking = await _trunking(w, tmp_path, "")
        await trunking.run()
        await trunking.close()
        assert trunking.outside is None
        assert trunking.status() == []


async def test_a_trunk_without_a_plan_is_said_to_take_calls_only(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as w:
        _node, trunking = await _trunking(w, tmp_path, TRUNK)
        with trio.move_on_after(1):
            await trunking.run()
        assert [each["name"] for each in trunking.status()] == ["provider"]
        assert "nobody can call out" in caplog.text


async def test_a_file_that_cannot_be_read_is_an_error_at_the_start(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with world() as w:
        with pytest.raises(SettingsError, match="password file"):
            await _trunking(w, tmp_path, TRUNK + 'password_file = "nowhere"\n')


class _Directory:
    async def find(self, address: str) -> Whereabouts:
        await trio.lowlevel.checkpoint()
        return Whereabouts(("aa", "bb") if address == "bob@home.example" else ())


class _Flows:
    def overlay_flow(self, node_id: str) -> Flow:
        return Flow("overlay", ("overlay", 0), (node_id, 0))


async def test_all_nodes_of_a_member_are_ways_to_the_trunk() -> None:
    nodes = MemberNodes(_Directory(), _Flows())  # type: ignore[arg-type]
    assert [flow.remote[0] for flow in await nodes.flows("bob@home.example")] == ["aa", "bb"]
    assert list(await nodes.flows("carol@home.example")) == []
