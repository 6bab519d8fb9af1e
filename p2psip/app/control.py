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
REQUEST_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 5.0
ASK_SECONDS_MAX = 45.0  # longer than the doctor's test from outside
PATH_BYTES_MAX = 107  # sockaddr_un of Linux, less its closing zero

Command = Callable[[dict[str, Any]], Awaitable[Any]]

_log = logging.getLogger(__name__)


class ControlError(P2psipError):
    """No node answers, or the node refused the command."""


class NoNodeError(ControlError):
    """No node runs in this folder."""


class ControlServer:
    """Serves named commands; each takes and gives JSON values."""

    def __init__(self, home: Path, commands: Mapping[str, Command]) -> None:
        self._path = home / SOCKET_NAME
        self._commands = commands
        self._clients = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; replaces a socket that a killed node has left."""
        _refuse_long(self._path)
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
        self._clients += 1
        try:
            async with stream:
                await self._serve_one(stream)
        except (trio.BrokenResourceError, trio.TooSlowError, ControlError) as error:
            _log.debug("a control client was not served: %s", error)
        finally:
            self._clients -= 1

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        if self._clients > CLIENTS_MAX:
            answer: dict[str, Any] = {"error": "the node is answering too many commands already: try again"}
        else:
            with trio.fail_after(REQUEST_SECONDS_MAX):
                line = await _read_line(stream)
            answer = await self._answer(line)
        with trio.fail_after(ANSWER_SECONDS_MAX):
            await stream.send_all(json.dumps(answer).encode() + b"\n")

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
            arguments = dict(request.get("arguments", {}))
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": "the node does not know this command; are node and command line of one version?"}
        try:
            return {"result": await command(arguments)}
        except KeyError as error:
            return {"error": f"the command lacks {error}; are node and command line of one version?"}
        except P2psipError as error:
            return {"error": str(error), "status": getattr(error, "status", None)}


async def ask(home: Path, command: str, **arguments: Any) -> Any:
    """The node's answer to `command`; NoNodeError when no node runs in `home`, ControlError when it refuses."""
    path = home / SOCKET_NAME
    _refuse_long(path)
    try:
        stream = await trio.open_unix_socket(str(path))
    except PermissionError as error:
        raise ControlError(f"the node in {home} belongs to somebody else: its control socket refuses you") from error
    except OSError as error:
        raise NoNodeError(f"no node is running in {home}: start one with `p2psip up`") from error
    async with stream:
        try:
            with trio.fail_after(ASK_SECONDS_MAX):
                await stream.send_all(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
                answer = json.loads(await _read_line(stream))
        except trio.TooSlowError as error:
            words = f"the node in {home} runs, but has not answered for {ASK_SECONDS_MAX:.0f} s"
            raise ControlError(f"{words}: it may be suspended; continue it, or stop it and start it again") from error
        except (trio.BrokenResourceError, ValueError) as error:
            raise ControlError("the node closed the connection before it answered") from error
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer["result"]


def _refuse_long(path: Path) -> None:
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise ControlError(f"{path} is too long for a socket ({PATH_BYTES_MAX} bytes at most): use a shorter --home")


async def _read_line(stream: trio.SocketStream) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = await stream.receive_some()
        if not chunk:
            raise ControlError("the node closed the connection before it answered")
        data += chunk
        if len(data) > LINE_BYTES_MAX:
            raise ControlError(f"a line of more than {LINE_BYTES_MAX} bytes")
    return bytes(data)
