"""Our subscription at one device of somebody else (RFC 6665 §4.1): kept fresh, and known to be lost when nobody answers.

A refresh that is not answered within ANSWER_SECONDS_MAX means that the device is gone. So a node that dies is noticed after
half of the subscription's life and that: 70 seconds with the defaults.
"""

from collections.abc import Callable

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.equipment import Equipment
from p2psip.presence.packages import Package, State, event_of
from p2psip.sip.build import make_request, make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri

ANSWER_SECONDS_MAX = 10.0
GRANTED_SECONDS_MIN = 5
SECONDS_MAX = 3_600
NOTIFIES_MAX = 10
NOTIFY_SECONDS = 0.5
"""A device may tell us NOTIFIES_MAX times at once, and then again each NOTIFY_SECONDS: reading documents is work."""
GONE = 481


class DeviceWatch:
    """What the device `flow` of the person `address` tells; `changed()` is called when `state` is another one."""

    def __init__(
        self,
        equipment: Equipment,
        package: Package,
        address: str,
        flow: Flow,
        seconds: int,
        changed: Callable[[], None],
    ) -> None:
        self._equipment = equipment
        self._package = package
        self._address = address
        self._flow = flow
        self._seconds = seconds
        self._changed = changed
        self._scope = trio.CancelScope()
        self._doubted = trio.Event()
        self._tokens, self._counted_at = float(NOTIFIES_MAX), equipment.clock.now()
        self.state: State | None = None
        self.is_known = False
        self.failure: RemoteError | None = None

    async def run(self) -> None:
        """Watch until cancelled, or until the device refuses, ends it or is lost: then `failure` tells why."""
        tag, call_id = self._equipment.tag(), self._equipment.call_id()
        own = self._equipment.addresses.own[0]
        contact = self._equipment.contact(own, self._flow)
        request = make_request(
            "SUBSCRIBE",
            SipUri.of_address(self._address),
            from_=NameAddr(None, SipUri.of_address(own)).with_tag(tag),
            to=NameAddr(None, SipUri.of_address(self._address)),
            call_id=call_id,
            cseq=1,
            headers=[("Contact", contact), *self._headers(self._seconds)],
        )
        requests = self._equipment.sip.open_dialog((call_id, tag, ""))
        dialog: Dialog | None = None
        try:
            response = await self._begin(request)
            dialog = Dialog.of_client(request, response, contact)
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._listen, dialog, requests)
                await self._refresh(dialog, response)
        except RemoteError as error:
            self.failure = error
        finally:
            if dialog is not None and self.failure is None:  # nobody watches any more
                end = dialog.request("SUBSCRIBE", headers=self._headers(0))
                self._equipment.sip.start(end, self._flow).close()
            self._equipment.sip.close_dialog((call_id, tag, ""))
            self.state, self.is_known = None, True
            self._changed()

    def doubt(self) -> None:
        """The device may have started anew meanwhile: refresh the subscription now."""
        self._doubted.set()

    def _headers(self, seconds: int) -> list[tuple[str, str]]:
        package = self._package
        return [("Event", package.name), ("Accept", package.content_type), ("Expires", str(seconds))]

    async def _begin(self, request: Request) -> Response:
        """The first 2xx, with the lifetime that the device wants if ours is too short for it."""
        try:
            return await self._ask(request)
        except RemoteError as error:
            if error.status != 423:
                raise
        request.headers.set("Expires", str(self._seconds))
        request.headers.set("CSeq", "2 SUBSCRIBE")
        return await self._ask(request)

    async def _ask(self, request: Request) -> Response:
        """The 2xx; RemoteError otherwise, 408 when nothing comes in time."""
        exchange = self._equipment.sip.start(request.copy(), self._flow)
        with trio.move_on_after(ANSWER_SECONDS_MAX):
            response = await exchange.final_response()
            if response.status < 300:
                return response
            least = response.headers.get("Min-Expires") or ""
            if response.status == 423 and least.isascii() and least.isdigit() and len(least) < 6:
                self._seconds = min(max(int(least), self._seconds), SECONDS_MAX)
            raise RemoteError(response.warning or response.reason, status=response.status)
        exchange.close()
        raise RemoteError("the device does not answer", status=408)

    async def _refresh(self, dialog: Dialog, response: Response) -> None:
        """Until it fails, or is ended by the device."""
        while self.failure is None:
            asked = self._seconds if response.expires is None else response.expires
            granted = min(max(asked, GRANTED_SECONDS_MIN), SECONDS_MAX)
            with trio.move_on_after(granted / 2 * self._equipment.chance.uniform(0.85, 1.0)):
                await self._doubted.wait()
            self._doubted = trio.Event()
            try:
                response = await self._ask(dialog.request("SUBSCRIBE", headers=self._headers(self._seconds)))
            except RemoteError as error:
                self.failure = self.failure or error
                self._scope.cancel()

    def _spend(self) -> None:
        now = self._equipment.clock.now()
        self._tokens = min(float(NOTIFIES_MAX), self._tokens + (now - self._counted_at) / NOTIFY_SECONDS)
        self._counted_at = now
        if self._tokens < 1.0:
            raise RemoteError("too many NOTIFYs at once", status=503)
        self._tokens -= 1.0

    async def _listen(self, dialog: Dialog, requests: trio.MemoryReceiveChannel[ServerExchange]) -> None:
        async for exchange in requests:
            try:
                self._take(dialog, exchange)
            except RemoteError as error:
                headers = [("Retry-After", "1")] if error.status == 503 else []
                exchange.respond(make_response(exchange.request, error.status, headers=headers))

    def _take(self, dialog: Dialog, exchange: ServerExchange) -> None:
        """A NOTIFY (§4.1.3), which only the device itself may send."""
        request = exchange.request
        if exchange.flow.remote != self._flow.remote or request.from_.tag != dialog.remote.tag:
            raise RemoteError("there is no such subscription", status=481)
        if request.method != "NOTIFY":
            raise RemoteError("only NOTIFY is served in a subscription", status=405)
        if event_of(request.headers.get("Event"))[0] != self._package.name:
            raise RemoteError("another event than was subscribed to", status=489)
        dialog.accept_request(request)
        self._spend()
        state = self.state
        if request.body:
            if request.content_type != self._package.content_type:
                raise RemoteError("a document of another kind", status=415)
            state = self._package.parse(request.body)
        exchange.respond(make_response(request, 200))
        subscription, _semicolon, parameters = (request.headers.get("Subscription-State") or "").partition(";")
        if subscription.strip().lower() == "terminated":
            status = 403 if "rejected" in parameters else GONE
            self.failure = RemoteError("the device has ended the subscription", status=status)
            self._scope.cancel()
        self.is_known = True
        if state != self.state:
            self.state = state
            self._changed()
