"""One request and its responses as somebody in a trio task sees them. The service makes and feeds these."""

import contextlib
import math
from collections.abc import Callable
from typing import Protocol

import trio

from p2psip.base.errors import RemoteError
from p2psip.sip.build import REASONS
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.transactions import T1_SECONDS, T2_SECONDS, TRANSACTION_SECONDS
from p2psip.sip.via import reply_flow

RESPONSES_QUEUED_MAX = 64


class Sender(Protocol):
    """What an exchange needs of the service that made it."""

    def respond(self, key: str, response: Response) -> None:
        """Send a response in its transaction."""

    def send_again(self, wire: bytes, flow: Flow) -> None:
        """Send bytes as they are."""

    def cancel(self, key: str) -> None:
        """CANCEL an INVITE."""

    def repeat(self, exchange: "ClientExchange", request: Request) -> None:
        """Send `request`, over the exchange's flow, in the place of the one before."""

    def forget(self, exchange: "ClientExchange") -> None:
        """Drop the responses that are still to come."""

    def send_ack(self, ack: Request, flow: Flow) -> bytes:
        """Send the ACK of a 2xx; its bytes."""

    def expect_ack(self, exchange: "ServerExchange", waiting: bool) -> None:
        """Begin or end to match ACKs to this exchange."""


class ServerExchange:
    """A request of a peer. Answer it with `respond`, or an INVITE with `accept`; watch `cancelled` meanwhile, or `when_cancelled`:
    `cancel_reason` is then the Reason of the CANCEL (RFC 3326).

    `screen` may stand before what is sent: it is given each response and gives what goes out in its place, or None for
    nothing yet.
    """

    def __init__(self, key: str, request: Request, flow: Flow, sender: Sender) -> None:
        self.key = key
        self.request = request
        self.flow = flow
        self.cancelled = trio.Event()
        self.cancel_reason: str | None = None
        self.answered = False
        self._on_cancel: Callable[[], None] | None = None
        self.screen: Callable[[Response], Response | None] | None = None
        self._sender = sender
        self._ack: Request | None = None
        self._ack_came = trio.Event()

    def respond(self, response: Response) -> None:
        """Send a response; after a final one, further calls do nothing."""
        if not self.answered:
            self.answered = response.status >= 200
            screened = response if self.screen is None else self.screen(response)
            if screened is not None:
                self._sender.respond(self.key, screened)

    def when_cancelled(self, hook: Callable[[], None] | None) -> None:
        """Call `hook` once this is cancelled, which may be now; None: no longer."""
        self._on_cancel = hook
        if hook is not None and self.cancelled.is_set():
            hook()

    def cancel(self, reason: str | None = None) -> None:
        """The peer has cancelled this INVITE, for `reason`."""
        self.cancel_reason = reason
        self.cancelled.set()
        if self._on_cancel is not None:
            self._on_cancel()

    async def accept(self, response: Response) -> Request:
        """Send a 2xx to an INVITE, again and again until its ACK comes, which is given back (RFC 3261 §13.3.1.4).

        RemoteError(408) when no ACK comes within 64*T1: the call must then be ended with a BYE. RemoteError(487) when the
        INVITE has had another final response before, as one that was cancelled.
        """
        if self.answered:
            raise RemoteError("the call was answered otherwise before", status=487)
        self._sender.expect_ack(self, True)
        try:
            self.respond(response)
            wire, interval, flow = response.to_bytes(), T1_SECONDS, reply_flow(self.request, self.flow)
            with trio.move_on_after(TRANSACTION_SECONDS):
                while not self._ack_came.is_set():
                    with trio.move_on_after(interval):
                        await self._ack_came.wait()
                    if not self._ack_came.is_set():
                        self._sender.send_again(wire, flow)
                        interval = min(2 * interval, T2_SECONDS)
        finally:
            self._sender.expect_ack(self, False)
        if self._ack is None:
            raise RemoteError("the answer to the call was never acknowledged", status=408)
        return self._ack

    def take_ack(self, ack: Request) -> None:
        """The service found the ACK."""
        self._ack = ack
        self._ack_came.set()


class ClientExchange:
    """A request of ours. Take its responses one by one with `next_response`.

    Challenges that `request.authorise` can answer are answered, and do not come up; `request` is then the one that was sent last.
    The service may send it over another `flow` when one has failed; `tried` are those, `fallback` is one to try first.
    """

    def __init__(self, request: Request, flow: Flow, sender: Sender) -> None:
        self.key = ""
        self.request = request
        self.flow = flow
        self._sender = sender
        self.tried: list[Flow] = []
        self.fallback: Flow | None = None
        self.is_cancelled = False
        self.is_answered = False
        self._send, self._receive = trio.open_memory_channel[Response | RemoteError](math.inf)
        self._acks: dict[str, bytes] = {}
        self._has_final = False
        self._on_late: Callable[[Response], None] | None = None

    async def next_response(self) -> Response:
        """The next response; RemoteError(408) when none comes in time, 503 when the transport failed."""
        response = await self._receive.receive()
        if isinstance(response, RemoteError):
            raise response
        return response

    async def final_response(self) -> Response:
        """The first response of 200 or more."""
        while (response := await self.next_response()).status < 200:
            pass
        return response

    def cancel(self) -> None:
        """CANCEL an INVITE that has no final response yet."""
        self.is_cancelled = True
        self._sender.cancel(self.key)

    def leave(self, acknowledge: Callable[[Response], None]) -> None:
        """CANCEL an INVITE whose answer nobody waits for. A 2xx that comes all the same is given to `acknowledge` (§13.2.2.4)."""
        self._on_late = acknowledge
        with contextlib.suppress(trio.WouldBlock):
            while True:
                waiting = self._receive.receive_nowait()
                if isinstance(waiting, Response):
                    self._take_late(waiting)
        self.cancel()

    def acknowledge(self, response: Response, ack: Request) -> None:
        """Send the ACK of a 2xx; the service repeats it for each repeated 2xx of the same branch.

        It carries the credentials of its INVITE (RFC 3261 §22.1).
        """
        if self.request.authorise is not None:
            for name in ("Authorization", "Proxy-Authorization"):
                for value in self.request.headers.all(name):
                    ack.headers.add(name, value)
        self._acks[response.to.tag or ""] = self._sender.send_ack(ack, self.flow)

    def feed(self, response: Response) -> None:
        """The service hands a response in; a repeated 2xx is acknowledged again and goes no further.

        A peer that sends more than RESPONSES_QUEUED_MAX before they are taken loses the rest, but for the first final one.
        """
        self.is_answered = True
        if response.status in (401, 407) and self.request.authorise is not None and not self.is_cancelled:
            again = self.request.authorise(self.request, response)
            if again is not None:
                self._sender.repeat(self, again)
                return
        wire = self._acks.get(response.to.tag or "") if response.status < 300 else None
        if wire is not None and response.status >= 200:
            self._sender.send_again(wire, self.flow)
            return
        if self._on_late is not None:
            self._take_late(response)
            return
        is_first_final = response.status >= 200 and not self._has_final
        self._has_final = self._has_final or is_first_final
        if is_first_final or self._send.statistics().current_buffer_used < RESPONSES_QUEUED_MAX:
            self._send.send_nowait(response)

    def _take_late(self, response: Response) -> None:
        if self._on_late is not None and 200 <= response.status < 300:
            self._on_late(response)

    def fail(self, status: int) -> None:
        """The service reports that no response will come."""
        self._send.send_nowait(RemoteError(REASONS[status], status=status))

    def close(self) -> None:
        """Stop listening; late responses are dropped."""
        self._sender.forget(self)
