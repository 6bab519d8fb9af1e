"""A real Chromium with one page that is a WebRTC phone: it speaks a tone, and says which tone it hears.

Page and test exchange session descriptions over a small HTTP server on loopback, so that no driver of browsers is needed.
"""

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from media.tones import tone
from media.wav import write_wav
from tests.interop.programs import program

SPOKEN_SECONDS = 60.0
STOP_SECONDS_MAX = 5.0
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
PAGE = (Path(__file__).parent / "browser.html").read_text()


class BrowserPhone:
    """The page, seen from the test: what it asks for goes in, what it says comes out."""

    def __init__(self, page: str) -> None:
        self._content = page
        self._to_page: dict[str, tuple[trio.MemorySendChannel[Any], trio.MemoryReceiveChannel[Any]]] = {
            name: trio.open_memory_channel(8) for name in ("settings", "remote")
        }
        self._from_page: dict[str, tuple[trio.MemorySendChannel[Any], trio.MemoryReceiveChannel[Any]]] = {
            name: trio.open_memory_channel(8) for name in ("local", "heard", "problem")
        }

    async def tell(self, name: str, value: Any) -> None:
        """Let the page have `value` when it asks for `name`: "settings" once, then "remote"."""
        await self._to_page[name][0].send(value)

    async def hear(self, name: str, seconds: float = 20.0) -> Any:
        """What the page says: "local" description, what it "heard"; a problem of the page is an error here."""
        value: Any = None
        with trio.fail_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fail_with_page)
                value = await self._from_page[name][1].receive()
                nursery.cancel_scope.cancel()
        return value

    async def _fail_with_page(self) -> None:
        raise AssertionError(f"the page failed: {await self._from_page['problem'][1].receive()}")

    async def _page(self, _request: Request) -> HTMLResponse:
        return HTMLResponse(self._content)

    async def _get(self, request: Request) -> JSONResponse:
        return JSONResponse(await self._to_page[request.path_params["name"]][1].receive())

    async def _post(self, request: Request) -> JSONResponse:
        await self._from_page[request.path_params["name"]][0].send(await request.json())
        return JSONResponse(None)

    def application(self) -> Starlette:
        """The HTTP side."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/ask/{name}", self._get),
                Route("/say/{name}", self._post, methods=["POST"]),
            ]
        )


@asynccontextmanager
async def browser(folder: Path, hertz: float, *extra: str, page: str = PAGE) -> AsyncIterator[BrowserPhone]:
    """Run a Chromium whose microphone is a tone of `hertz`, with `page` open."""
    folder.mkdir(parents=True)
    speech = folder / "speech.wav"
    write_wav(speech, tone(hertz, SPOKEN_SECONDS))
    phone, config, gone = BrowserPhone(page), Config(), trio.Event()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    async with trio.open_nursery() as nursery:
        serve = partial(hypercorn.trio.serve, phone.application(), config, shutdown_trigger=gone.wait)  # type: ignore[arg-type]
        (url,) = await nursery.start(serve)
        capture = f"--use-file-for-fake-audio-capture={speech}"
        command = [program("chromium"), *ARGUMENTS, capture, f"--user-data-dir={folder / 'profile'}", *extra, url]
        with (folder / "log").open("wb") as log:
            process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield phone
        finally:
            with trio.CancelScope(shield=True):
                process.send_signal(signal.SIGTERM)
                with trio.move_on_after(STOP_SECONDS_MAX):
                    await process.wait()
                process.kill()
                await process.wait()
            gone.set()
            nursery.cancel_scope.cancel()
