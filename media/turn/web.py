"""The smallest HTTP server that Prometheus can scrape, on loopback only (HTTP/1.0 answers, RFC 9112)."""

from collections.abc import Callable

import trio

from media.turn.metrics import CONTENT_TYPE

REQUEST_BYTES_MAX = 8_192
REQUEST_SECONDS_MAX = 5.0
SCRAPES_MAX = 8


async def serve_metrics(
    port: int, text: Callable[[], str], *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer `GET /metrics` on 127.0.0.1 until cancelled; the task status is the port number. OSError words name a taken one."""
    places = trio.CapacityLimiter(SCRAPES_MAX)

    async def answer(stream: trio.SocketStream) -> None:
        with trio.move_on_after(REQUEST_SECONDS_MAX):
            async with stream, places:
                await _answer(stream, text)

    try:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    except OSError as error:
        raise OSError(error.errno, f"cannot use TCP 127.0.0.1 port {port} for metrics: {error.strerror}") from error
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(answer, listeners)


async def _answer(stream: trio.SocketStream, text: Callable[[], str]) -> None:
    try:
        request = b""
        while b"\r\n\r\n" not in request and len(request) < REQUEST_BYTES_MAX:
            more = await stream.receive_some(REQUEST_BYTES_MAX)
            if not more:
                return
            request += more
        if request.startswith(b"GET /metrics "):
            await stream.send_all(_response("200 OK", text()))
        else:
            await stream.send_all(_response("404 Not Found", "only GET /metrics is here\n"))
    except (trio.BrokenResourceError, OSError):  # the scraper has gone
        return


def _response(status: str, body: str) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.0 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
