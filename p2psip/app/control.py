"""The door to a running node for the command line: JSON lines over a Unix socket in the node's folder (mode 0600)."""

import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from p2psip.base.errors import P2psipError

SOCKET_NAME = "control"
LINE_BYTES_MAX = 1 << 20
CLIENTS_MAX = 16

Command = Callable[[dict[str, Any]], Awaitable[Any]]

_log = logging.getLogger(__name__)


class ControlError(P2psipError):
    """No node answers, or the node refused the command."""


class ControlServer:
    """Serves named commands; each takes and gives JSON values."""

    def __init__(self, home: Path, commands: Mapping[str, Command]) -> None:
        self._path = home / SOCKET_NAME
        self._commands = commands
        self._clients = trio.CapacityLimiter(CLIENTS_MAX)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; replaces a socket that a killed node has left."""
        self._path.unlink(missing_ok=True)
        sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        old_mask = os.umask(0o177)
        try:
            await sock.bind(str(self._path))
        except OSError as error:
            raise ControlError(f"the control socket {self._path} cannot be opened: {error}") from error
        finally:
            os.umask(old_mask)
        sock.listen(CLIENTS_MAX)
        task_status.started()
        try:
            await trio.serve_listeners(self._serve, [trio.SocketListener(sock)])
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with self._clients, stream:
            try:
                line = await _read_line(stream)
                await stream.send_all(json.dumps(await self._answer(line)).encode() + b"\n")
            except (trio.BrokenResourceError, ControlError) as error:
                _log.debug("a control client left early: %s", error)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
            arguments = dict(request.get("arguments", {}))
        except (ValueError, KeyError, TypeError):
            return {"error": "the node does not know this command; are node and command line of one version?"}
        try:
            return {"result": await command(arguments)}
        except P2psipError as error:
            return {"error": str(error), "status": getattr(error, "status", None)}


async def ask(home: Path, command: str, **arguments: Any) -> Any:
    """The node's answer to `command`; ControlError when no node runs in `home`, or when it refuses."""
    try:
        stream = await trio.open_unix_socket(str(home / SOCKET_NAME))
    except OSError as error:
        raise ControlError("no node is running here: start one with `p2psip up`") from error
    async with stream:
        await stream.send_all(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(await _read_line(stream))
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer["result"]


async def _read_line(stream: trio.SocketStream) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = await stream.receive_some()
        if not chunk:
            raise ControlError("the node closed the connection before it answered")
        data += chunk
        if len(data) > LINE_BYTES_MAX:
            raise ControlError("a line that is too long")
    return bytes(data)
