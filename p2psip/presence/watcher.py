"""Those who watch somebody: subscriptions at this node, each with its dialog, served until it is over (RFC 6665 §4.2)."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure, refuse
from p2psip.calls.equipment import Equipment, Party
from p2psip.presence.packages import ALLOW_EVENTS, Package, State, event_of
from p2psip.presence.subscription import (
    NODE_SECONDS_MIN,
    SECONDS_MIN,
    IntervalTooBrief,
    Notice,
    Reason,
    Subscription,
    granted,
)
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request, Response

FETCH_SECONDS_MAX = 4.0


class Source(Protocol):
    """What a watcher watches."""

    @property
    def state(self) -> State:
        """What the watcher may know."""

    @property
    def is_rejected(self) -> bool:
        """Whether the watched person lets us see nothing."""

    async def wait_settled(self) -> None:
        """Return once it is known for the first time."""


Prove = Callable[[ServerExchange], Awaitable[Party | None]]
"""Who sent a request, proved; None when the answer has been given."""


class Watcher:
    """One subscription at this node."""

    def __init__(
        self, equipment: Equipment, package: Package, address: str, party: Party, source: Source, request: Request
    ) -> None:
        seconds = seconds_of(request, package, party)
        self.party = party
        self.address = address
        self.package = package
        self.source = source
        self._equipment = equipment
        self._flow = party.flow
        self._event = request.headers.get("Event") or package.name
        self._is_fetch = seconds == 0
        self._subscription = Subscription(seconds, package.interval_seconds, equipment.clock.now())
        self._version = 0
        self._told: State | None = None
        self._woken = trio.Event()
        self._contact = equipment.contact(address, party.flow)
        self.response = self._accepted(request, seconds, equipment.tag())
        self._dialog = Dialog.of_server(request, self.response, self._contact)

    @property
    def phone(self) -> str:
        """Whom a bound per phone counts: the account, or the node."""
        return self.party.flow.remote[0] if self.party.account is None else self.party.account

    def note_change(self) -> None:
        """What is watched may be different now."""
        if self.source.is_rejected:
            self.end("rejected")
        elif self.source.state != self._told:
            self._subscription.change()
            self._woken.set()

    def end(self, reason: Reason) -> None:
        """Tell the watcher that it is over."""
        self._subscription.end(reason)
        self._woken.set()

    async def run(self, prove: Prove) -> None:
        """Tell the watcher what there is to tell until the subscription is over; `prove` tells who sent a request."""
        sip, now = self._equipment.sip, self._equipment.clock.now
        requests = sip.open_dialog(self._dialog.id)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, requests, prove)
                if self._is_fetch:
                    with trio.move_on_after(FETCH_SECONDS_MAX):
                        await self.source.wait_settled()
                while (due := self._subscription.poll_timeout(now())) is not None:
                    self._woken = trio.Event()
                    notice = self._subscription.take(now())
                    if notice is not None:
                        await self._notify(notice)
                        continue
                    with trio.move_on_after(due - now()):
                        await self._woken.wait()
                nursery.cancel_scope.cancel()
        finally:
            sip.close_dialog(self._dialog.id)

    async def _notify(self, notice: Notice) -> None:
        state = self.source.state
        before = None if notice.is_whole or self.party.is_node else self._told
        body = b"" if "rejected" in notice.subscription_state else state.write(self.address, self._version, before)
        self._told = state
        self._version += 1
        request = self._dialog.request(
            "NOTIFY",
            headers=[("Event", self._event), ("Subscription-State", notice.subscription_state)],
            body=body,
            content_type=self.package.content_type if body else None,
        )
        try:
            response = await self._equipment.sip.start(request, self._flow).final_response()
            retry = response.headers.get("Retry-After") or ""
            seconds = int(retry) if retry.isascii() and retry.isdigit() and len(retry) < 6 else None
            self._subscription.answered(response.status, seconds, self._equipment.clock.now())
        except RemoteError as error:
            self._subscription.answered(error.status, None, self._equipment.clock.now())

    async def _listen(self, requests: trio.MemoryReceiveChannel[ServerExchange], prove: Prove) -> None:
        async for exchange in requests:
            try:
                await self._take(exchange, prove)
            except RemoteError as error:
                exchange.respond(refusal(exchange.request, error, self._equipment))

    async def _take(self, exchange: ServerExchange, prove: Prove) -> None:
        """A refresh, or an unsubscription; over another flow than before it must be proved who sent it."""
        request = exchange.request
        if exchange.flow != self._flow:
            party = await prove(exchange)
            if party is None:
                return
            if party.address != self.party.address:
                raise RemoteError("this subscription is somebody else's", status=403)
        if request.method != "SUBSCRIBE":
            raise RemoteError("only SUBSCRIBE is served in a subscription", status=405)
        if event_of(request.headers.get("Event")) != event_of(self._event):
            raise RemoteError("another event than was subscribed to", status=489)
        if self._subscription.is_ending:
            raise RemoteError("this subscription is over", status=481)
        seconds = seconds_of(request, self.package, self.party)
        self._dialog.accept_request(request)
        if request.contacts:
            self._dialog.target = request.contacts[0].uri
        self._flow = exchange.flow
        exchange.respond(self._accepted(request, seconds, ""))
        self._subscription.refresh(seconds, self._equipment.clock.now())
        self._woken.set()

    def _accepted(self, request: Request, seconds: int, tag: str) -> Response:
        headers = [("Contact", self._contact), ("Expires", str(seconds))]
        return make_response(request, 200, to_tag=tag or None, headers=headers)


def seconds_of(request: Request, package: Package, party: Party) -> int:
    """The lifetime that a SUBSCRIBE is granted; IntervalTooBrief when it asks for too little."""
    least = NODE_SECONDS_MIN if party.is_node else SECONDS_MIN
    seconds = granted(request.expires, package.seconds_default, least)
    if seconds is None:
        raise IntervalTooBrief("subscription", least)
    return seconds


def refusal(request: Request, error: RemoteError, equipment: Equipment) -> Response:
    """The answer that says why, with what the packages' RFCs want beside it."""
    response = refuse(request, Failure.of_error(error), equipment.settings.overlay, to_tag=equipment.tag())
    if error.status == 489:
        response.headers.add(*ALLOW_EVENTS)
    elif isinstance(error, IntervalTooBrief):
        response.headers.add("Min-Expires", str(error.least))
    return response
