"""Reliable provisional responses (RFC 3262): sent until they are acknowledged (§3), and taken in order (§4).

Both halves know one leg only, so that each leg of a call has the extension or has it not. What a description in a response or
in a PRACK means (§5) is for the call to say.
"""

from collections import deque

import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.extensions import RAck, rseq_of, tokens
from p2psip.sip.message import Request, Response
from p2psip.sip.transactions import T1_SECONDS, TRANSACTION_SECONDS

OPTION = "100rel"
PROVISIONALS_MAX = 16


class ReliableProvisionals:
    """The provisional responses to one INVITE that we serve. One is under way at a time; the next waits for its PRACK."""

    def __init__(self, exchange: ServerExchange, chance: Chance) -> None:
        headers = exchange.request.headers
        self.required = OPTION in tokens(headers, "Require")
        self.possible = self.required or OPTION in tokens(headers, "Supported")
        self._exchange = exchange
        self._number = chance.integer(30) + 1
        self._waiting: deque[Response] = deque()
        self._current: Response | None = None
        self._sent: dict[int, Response] = {}
        self._changed = trio.Event()
        self._closed = False
        self.described = False
        """Whether a description has gone out reliably, or will."""
        self.answered = False
        """Whether it was acknowledged: the first offer and answer are complete (RFC 3262 §5)."""

    def send(self, response: Response) -> None:
        """Send `response`: reliably when the caller requires that, or knows the extension and a description is in it."""
        if not (self.required or (self.possible and response.body)):
            self._exchange.respond(response)
        elif not self._closed and len(self._waiting) < PROVISIONALS_MAX:
            self._waiting.append(response)
            self.described = self.described or bool(response.body)
            self._note_change()

    async def run(self) -> None:
        """Send and repeat until `close`; RemoteError(504) when a response is never acknowledged."""
        while not self._closed:
            if not self._waiting:
                await self._wait_change()
                continue
            response = self._current = self._waiting.popleft()
            response.headers.add("Require", OPTION)
            response.headers.add("RSeq", str(self._number))
            self._sent[self._number] = response
            self._number += 1
            await self._repeat(response)

    def take(self, request: Request) -> Response:
        """The response that a PRACK acknowledges for the first time; RemoteError(481) for any other PRACK."""
        acknowledged = RAck.of(request.headers)
        cseq = self._exchange.request.cseq
        found = self._sent.get(acknowledged.rseq)
        if found is None or (acknowledged.cseq, acknowledged.method) != (cseq.number, cseq.method):
            raise RemoteError("this PRACK matches no response that waits for one", status=481)
        del self._sent[acknowledged.rseq]
        if found is self._current:
            self._current = None
        self.answered = self.answered or bool(found.body)
        self._note_change()
        return found

    async def wait_acknowledged(self) -> None:
        """Return when a 2xx may be sent: every description that went out is acknowledged (§3). The rest never goes out."""
        self._waiting.clear()
        while self._current is not None and self._current.body:
            await self._wait_change()

    def close(self) -> None:
        """A final response goes out: nothing is sent or repeated any more, yet a late PRACK is still known."""
        self._closed = True
        self._waiting.clear()
        self._note_change()

    async def _repeat(self, response: Response) -> None:
        interval = T1_SECONDS
        with trio.move_on_after(TRANSACTION_SECONDS):
            while self._current is response and not self._closed:
                self._exchange.respond(response)
                with trio.move_on_after(interval):
                    while self._current is response and not self._closed:
                        await self._wait_change()
                interval *= 2
        if self._current is response and not self._closed:
            raise RemoteError("a provisional response was never acknowledged", status=504)

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _wait_change(self) -> None:
        await self._changed.wait()


class Receipt:
    """Which reliable provisional responses of one early dialog have been taken: each once, and in order."""

    def __init__(self) -> None:
        self._last: int | None = None

    def admit(self, response: Response) -> RAck | None:
        """The RAck to send, for the next response in order; None for an unreliable one. RemoteError: drop it (§4)."""
        if OPTION not in tokens(response.headers, "Require"):
            return None
        number = rseq_of(response.headers)
        if number is None or (self._last is not None and number != self._last + 1):
            raise RemoteError("a reliable response that was taken before, or comes out of order", status=400)
        self._last = number
        return RAck(number, response.cseq.number, response.cseq.method)
