"""The bootstrap server's HTTP interface as a Starlette application; what is HTTP stays in this file.

| request | answer |
|---|---|
| GET /v1/authority | the authority's certificate (DER); a client holds it to the fingerprint in its invite |
| GET /v1/configuration | the newest signed configuration |
| GET /v1/health | `{"status": "ok", ...}` |
| POST /v1/enrol, /v1/renew, /v1/introduce | bodies and answers of `bootstrap.messages` |

Every answer carries the time by the server's clock (Date, RFC 9110 §6.6.1), from which clients learn how wrong their own is.
Every error is a problem document (RFC 9457) with one sentence. The authority's rules run in a worker thread, one call
at a time, because scrypt and disks take their time.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bootstrap.authority import Authority
from bootstrap.guesses import TooManyGuesses
from bootstrap.messages import (
    INTRODUCE,
    RENEW,
    REQUEST_BYTES_MAX,
    Enrolment,
    Introducer,
    bounded,
    decode_device,
    decode_enrol,
    encode_enrolment,
    encode_problem,
)
from p2psip.base.errors import P2psipError, RemoteError
from p2psip.net.clock import Clock

WAITING_MAX = 32
BODY_SECONDS_MAX = 20.0
BUSY_RETRY_SECONDS = 5

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Doors:
    """The answers to each request."""

    def __init__(self, authority: Authority, clock: Clock, introducers: Callable[[], Sequence[Introducer]]) -> None:
        self._authority = authority
        self._clock = clock
        self._introducers = introducers
        self._turn = trio.CapacityLimiter(1)
        self._waiting = 0

    async def authority(self, _request: Request) -> Response:
        """The authority's certificate."""
        return Response(self._authority.ca_der, media_type="application/pkix-cert")

    async def configuration(self, _request: Request) -> Response:
        """The newest signed configuration."""
        return Response(await self._rule(self._authority.configuration), media_type="application/octet-stream")

    async def health(self, _request: Request) -> Response:
        """Whether the file can be read, and the configuration's number."""
        sequence = await self._rule(self._authority.sequence)
        return JSONResponse({"status": "ok", "overlay": self._authority.overlay, "sequence": sequence})

    async def enrol(self, request: Request) -> Response:
        """A first certificate."""
        wish = decode_enrol(await _body(request))
        source = request.client.host if request.client else "unknown"
        rule = partial(self._authority.enrol, wish, source, unix=self._clock.unix(), now=self._clock.now())
        certificate = await self._rule(rule)
        _log.info("enrolled a device of %s from %s", wish.name, source)
        return await self._enrolment(certificate)

    async def renew(self, request: Request) -> Response:
        """A newer certificate."""
        wish = decode_device(await _body(request), RENEW)
        return await self._enrolment(await self._rule(partial(self._authority.renew, wish, unix=self._clock.unix())))

    async def introduce(self, request: Request) -> Response:
        """Peers to begin with, for a device that has lost all of its own."""
        wish = decode_device(await _body(request), INTRODUCE)
        held = await self._rule(partial(self._authority.check_device, wish, unix=self._clock.unix()))
        return await self._enrolment(held.der)

    async def _enrolment(self, certificate: bytes) -> Response:
        configuration = await self._rule(self._authority.configuration)
        introducers = bounded(self._introducers())
        answer = Enrolment(certificate, self._authority.ca_der, configuration, introducers)
        return Response(encode_enrolment(answer), media_type="application/json")

    async def _rule(self, rule: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise HTTPException(503, "the server is busy: try again in a few seconds", {"retry-after": "5"})
        self._waiting += 1
        try:
            return await trio.to_thread.run_sync(rule, limiter=self._turn)
        finally:
            self._waiting -= 1


def create_app(authority: Authority, *, clock: Clock, introducers: Callable[[], Sequence[Introducer]]) -> Starlette:
    """The application. `introducers` gives recently seen peers, best first; a few of them are passed on."""
    doors = Doors(authority, clock, introducers)
    routes = [
        Route("/v1/authority", doors.authority),
        Route("/v1/configuration", doors.configuration),
        Route("/v1/health", doors.health),
        Route("/v1/enrol", doors.enrol, methods=["POST"]),
        Route("/v1/renew", doors.renew, methods=["POST"]),
        Route("/v1/introduce", doors.introduce, methods=["POST"]),
    ]
    handlers = {P2psipError: _refused, HTTPException: _http_refused}
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(_Dated, clock=clock)])


class _Dated:
    """Dates each answer by `clock`, by which requests are judged as well."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._clock.unix(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        await self._app(scope, receive, send_dated)


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length[:9]) > REQUEST_BYTES_MAX:
        raise _too_large()
    data = bytearray()
    with trio.move_on_after(BODY_SECONDS_MAX):
        try:
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    data += chunk
                    if len(data) > REQUEST_BYTES_MAX:
                        raise _too_large()
        except ClientDisconnect as error:
            raise RemoteError("the request ended early: send it again") from error
        return bytes(data)
    raise RemoteError("the request came too slowly: send it again", status=408)


def _too_large() -> RemoteError:
    return RemoteError(f"a request has at most {REQUEST_BYTES_MAX} bytes: send a smaller one", status=413)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RemoteError) else 500
    headers = {"retry-after": str(error.retry_after_seconds)} if isinstance(error, TooManyGuesses) else {}
    if status >= 500:
        _log.error("%s %s failed: %s", request.method, request.url.path, error)
    return _problem(status, str(error), headers)


async def _http_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this address takes another method"}
    return _problem(error.status_code, words.get(error.status_code, error.detail), dict(error.headers or {}))


def _problem(status: int, detail: str, headers: dict[str, str]) -> Response:
    content = encode_problem(status, HTTPStatus(status).phrase, detail)
    headers = {"connection": "close"} | headers if status == 413 else headers
    return Response(content, status, headers, media_type="application/problem+json")
