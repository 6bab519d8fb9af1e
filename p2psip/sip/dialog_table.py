"""Who takes the requests of the peer in each open dialog (RFC 3261 §12.2.2): a function at once, or who reads a channel."""

import contextlib
from collections.abc import Callable, Iterator

import trio

from p2psip.sip.build import make_response
from p2psip.sip.dialog import DialogId
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request

DIALOG_QUEUED_MAX = 64

Take = Callable[[ServerExchange], None]
"""Takes one request without waiting; trio.WouldBlock when too many wait already, which is answered with 503."""

_Channel = tuple[trio.MemorySendChannel[ServerExchange], trio.MemoryReceiveChannel[ServerExchange]]


class DialogTable:
    """The open dialogs of one SIP service."""

    def __init__(self) -> None:
        self._takers: dict[DialogId, Take] = {}
        self._channels: dict[DialogId, _Channel] = {}

    def __len__(self) -> int:
        return len(self._takers)

    def __iter__(self) -> Iterator[DialogId]:
        return iter(self._takers)

    def serve(self, dialog_id: DialogId, take: Take) -> None:
        """Give each request to `take`, from now on."""
        self._takers[dialog_id] = take

    def open(self, dialog_id: DialogId) -> trio.MemoryReceiveChannel[ServerExchange]:
        """Put the requests on a channel, from now on."""
        send, receive = self._channels[dialog_id] = trio.open_memory_channel[ServerExchange](DIALOG_QUEUED_MAX)
        self._takers[dialog_id] = send.send_nowait
        return receive

    def close(self, dialog_id: DialogId) -> None:
        """Forget a dialog; what waits on its channel gets 481."""
        self._takers.pop(dialog_id, None)
        send, receive = self._channels.pop(dialog_id, (None, None))
        if send is None or receive is None:
            return
        send.close()
        with contextlib.suppress(trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                exchange = receive.receive_nowait()
                exchange.respond(make_response(exchange.request, 481))

    def taker(self, request: Request, tag: str) -> Take | None:
        """Who takes a request of the dialog that has our `tag`; None when there is no such dialog."""
        takers = self._takers
        return takers.get((request.call_id, tag, request.from_.tag or "")) or takers.get((request.call_id, tag, ""))
