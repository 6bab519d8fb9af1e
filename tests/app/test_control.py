"""The control socket: one command a client, bounds on lines, clients and time, and nothing a client sends ends the node."""

import stat
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2psip.app.control import (
    CLIENTS_MAX,
    LINE_BYTES_MAX,
    PATH_BYTES_MAX,
    SOCKET_NAME,
    ControlError,
    ControlServer,
    NoNodeError,
    ask,
)
from p2psip.base.errors import RemoteError


async def echo(arguments: dict[str, Any]) -> Any:
    return arguments["words"]


async def refuse(_arguments: dict[str, Any]) -> Any:
    raise RemoteError("nobody of that name", status=404)


@pytest.fixture
async def home(tmp_path: Path, nursery: trio.Nursery) -> Path:
    await nursery.start(ControlServer(tmp_path, {"echo": echo, "refuse": refuse}).run)
    return tmp_path


async def say(home: Path, data: bytes) -> bytes:
    """Whatever comes back for raw bytes."""
    async with await trio.open_unix_socket(str(home / SOCKET_NAME)) as stream:
        try:
            await stream.send_all(data)
            await stream.send_eof()
            return b"".join([chunk async for chunk in stream])
        except trio.BrokenResourceError:
            return b""


async def test_a_command_and_its_answer(home: Path) -> None:
    assert await ask(home, "echo", words="hällo") == "hällo"


async def test_only_its_owner_may_open_it(home: Path) -> None:
    assert stat.S_IMODE((home / SOCKET_NAME).stat().st_mode) == 0o600


async def test_a_refusal_is_one_sentence(home: Path) -> None:
    with pytest.raises(ControlError, match="nobody of that name"):
        await ask(home, "refuse")


async def test_a_missing_argument_is_a_refusal(home: Path) -> None:
    with pytest.raises(ControlError, match="words"):
        await ask(home, "echo")
    assert await ask(home, "echo", words="still here") == "still here"


GARBAGE = [
    b"\n",
    b"\x00\xff\xfe\n",
    b"[]\n",
    b"5\n",
    b'"echo"\n',
    b"{}\n",
    b'{"command": ["echo"]}\n',
    b'{"command": "echo", "arguments": 5}\n',
    b'{"command": "unknown"}\n',
    b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("line", GARBAGE, ids=lambda line: repr(line[:20]))
async def test_garbage_is_refused_and_the_node_lives_on(home: Path, line: bytes) -> None:
    assert b'"error"' in await say(home, line)
    assert await ask(home, "echo", words="still here") == "still here"


async def test_a_client_that_leaves_early(home: Path) -> None:
    assert await say(home, b'{"command": "ec') == b""
    assert await ask(home, "echo", words="still here") == "still here"


async def test_a_line_one_over_the_bound_is_cut_off(home: Path) -> None:
    assert await say(home, b"x" * (LINE_BYTES_MAX + 1)) == b""
    assert await ask(home, "echo", words="still here") == "still here"


async def test_one_client_over_the_bound_is_told_so(home: Path) -> None:
    async with AsyncExitStack() as idle:
        for _ in range(CLIENTS_MAX):
            await idle.enter_async_context(await trio.open_unix_socket(str(home / SOCKET_NAME)))
        with pytest.raises(ControlError, match="too many"):
            await ask(home, "echo", words="x")
    await trio.testing.wait_all_tasks_blocked()
    assert await ask(home, "echo", words="room again") == "room again"


async def test_a_silent_client_is_sent_away(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(tmp_path, {"echo": echo}).run)
        async with await trio.open_unix_socket(str(tmp_path / SOCKET_NAME)) as stream:
            assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()


async def test_a_socket_left_by_a_killed_node_is_replaced(tmp_path: Path, nursery: trio.Nursery) -> None:
    (tmp_path / SOCKET_NAME).write_bytes(b"")
    await nursery.start(ControlServer(tmp_path, {"echo": echo}).run)
    assert await ask(tmp_path, "echo", words="new") == "new"


async def test_the_socket_goes_with_the_node(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(tmp_path, {}).run)
        nursery.cancel_scope.cancel()
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_a_node_that_hangs_is_not_waited_for_forever(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as hanging:
        await hanging.bind(str(tmp_path / "control"))
        hanging.listen(1)
        with pytest.raises(ControlError, match="has not answered for 45 s: it may be suspended"):
            await ask(tmp_path, "status")


async def test_no_node_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(NoNodeError, match="p2psip up"):
        await ask(tmp_path, "status")


@pytest.mark.parametrize("use", [lambda home: ask(home, "status"), lambda home: ControlServer(home, {}).run()])
async def test_a_folder_one_byte_too_deep_is_said_plainly(use: Callable[[Path], Awaitable[None]]) -> None:
    home = Path("/" + "x" * (PATH_BYTES_MAX - len(SOCKET_NAME) - 1))
    with pytest.raises(ControlError, match="shorter --home"):
        await use(home)
