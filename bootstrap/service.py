"""The bootstrap server as a running thing: HTTPS by Hypercorn on trio, and the doors to a new or existing overlay file."""

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio import serve

from bootstrap.accounts import Accounts
from bootstrap.authority import Authority
from bootstrap.messages import Introducer
from bootstrap.tls import load_server_certificate, server_context
from bootstrap.web import create_app
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.clock import Clock

BACKLOG_MAX = 128
HEADER_BYTES_MAX = 8_192
HANDSHAKE_SECONDS_MAX = 10.0
READ_SECONDS_MAX = 30
CERTIFICATE_REFRESH_SECONDS = 30 * 86_400


def create_overlay(path: Path, name: str, *, unix: float, chance: Chance) -> Authority:
    """A new overlay in a new file at `path`; LocalError if there is one already, RemoteError for an unfit name."""
    return Authority.create(Accounts(path, create=True), name, unix=unix, chance=chance)


def open_overlay(path: Path, *, chance: Chance) -> Authority:
    """The overlay in the file at `path`; LocalError, with the way out, if there is none."""
    return Authority(Accounts(path, create=False), chance)


def nobody() -> Sequence[Introducer]:
    """No peer to introduce yet."""
    return ()


class BootstrapServer:
    """The HTTPS server of one authority. Binds at once, so that `port` is known; serves while `run` runs.

    `introducers` is asked at each enrolment for recently seen peers, best first.
    """

    def __init__(
        self,
        authority: Authority,
        host: str | Sequence[str],
        port: int,
        *,
        clock: Clock,
        chance: Chance,
        introducers: Callable[[], Sequence[Introducer]] = nobody,
    ) -> None:
        self._authority = authority
        self._clock = clock
        self._chance = chance
        self._introducers = introducers
        self._sockets: list[socket.socket] = []
        try:
            for each in [host] if isinstance(host, str) else host:
                self._sockets.append(_listen((each, port or self.port)))
        except OSError:
            self.close()
            raise

    @property
    def port(self) -> int:
        """The TCP port number (0 before anything is bound)."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    @property
    def local(self) -> tuple[Address, ...]:
        """The bound addresses."""
        return tuple(sock.getsockname()[:2] for sock in self._sockets)

    def close(self) -> None:
        """Close the sockets of a server that is not to run."""
        for sock in self._sockets:
            sock.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        context = server_context()
        load_server_certificate(context, self._authority, unix=self._clock.unix(), chance=self._chance)
        app = create_app(self._authority, clock=self._clock, introducers=self._introducers)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._refresh, context)
                await nursery.start(_serve, app, _Configuration(self._sockets, context))
                task_status.started()
        finally:
            self.close()

    async def _refresh(self, context: ssl.SSLContext) -> None:
        while True:
            await trio.sleep(CERTIFICATE_REFRESH_SECONDS)
            load_server_certificate(context, self._authority, unix=self._clock.unix(), chance=self._chance)


async def _serve(
    app: object, configuration: Config, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    await serve(app, configuration, task_status=task_status, mode="asgi")  # type: ignore[arg-type]


class _Configuration(Config):
    """Hypercorn's settings, with sockets and a TLS context that exist already."""

    def __init__(self, sockets: Sequence[socket.socket], context: ssl.SSLContext) -> None:
        self._given_sockets = list(sockets)
        self._given_context = context
        self.accesslog = None
        self.errorlog = logging.getLogger("bootstrap.http")
        self.backlog = BACKLOG_MAX
        self.h11_max_incomplete_size = HEADER_BYTES_MAX
        self.ssl_handshake_timeout = HANDSHAKE_SECONDS_MAX
        self.read_timeout = READ_SECONDS_MAX
        self.include_server_header = False
        self.include_date_header = False  # `web` dates answers, by our clock

    def create_sockets(self) -> Sockets:
        return Sockets(self._given_sockets, [], [])

    def create_ssl_context(self) -> ssl.SSLContext:
        return self._given_context


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG_MAX)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot use TCP {address[0]} port {address[1]}: {error.strerror}") from error
    return sock
