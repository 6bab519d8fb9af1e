"""Page-mode text messages (RFC 3428): from a phone to other phones of this node, or through the overlay to others'.

A message is delivered when one device took it. There is no store yet: whoever is absent is answered for with 480.
"""

from dataclasses import dataclass, field

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure, best_failure, refuse
from p2psip.calls.equipment import Equipment, Party
from p2psip.calls.targets import Router, Target, Wanted
from p2psip.sip.build import MAX_FORWARDS, make_request, make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri

MESSAGE_BODY_BYTES_MAX = 8_192
DELIVERY_SECONDS_MAX = 20.0


@dataclass(slots=True)
class _Outcome:
    """What the devices said."""

    taken: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class MessageRelay:
    """Passes MESSAGE requests on and answers with what came of it."""

    def __init__(self, equipment: Equipment, router: Router) -> None:
        self._equipment = equipment
        self._router = router

    async def relay(self, exchange: ServerExchange, sender: Party, address: str) -> None:
        """Deliver one message to all devices of `address`; RemoteError with the status of the refusal."""
        request = exchange.request
        if len(request.body) > MESSAGE_BODY_BYTES_MAX:
            raise RemoteError(f"a message has up to {MESSAGE_BODY_BYTES_MAX} bytes", status=413)
        targets = await self._targets(sender, address, Wanted.by(request.uri))
        outcome = _Outcome()
        with trio.move_on_after(DELIVERY_SECONDS_MAX):
            async with trio.open_nursery() as nursery:
                for target in targets:
                    nursery.start_soon(self._deliver, target, request, sender, outcome)
        if outcome.taken:
            exchange.respond(make_response(request, min(outcome.taken), to_tag=self._equipment.tag()))
            return
        failure = best_failure(outcome.failures or [Failure(408, "no device answered")])
        exchange.respond(refuse(request, failure, self._equipment.settings.overlay, to_tag=self._equipment.tag()))

    async def _targets(self, sender: Party, address: str, wanted: Wanted) -> list[Target]:
        targets = self._router.local(address, sender, wanted)
        if self._router.needs_lookup(address, sender, bool(targets)):
            targets += (await self._router.remote(address, wanted))[0]
        if not targets:
            raise await self._router.why_nobody(address)
        return targets

    async def _deliver(self, target: Target, request: Request, sender: Party, outcome: _Outcome) -> None:
        exchange = self._equipment.sip.start(self._copy(target, request, sender), target.flow)
        try:
            response = await exchange.final_response()
        except RemoteError as error:
            outcome.failures.append(Failure.of_error(error))
            return
        if response.status < 300:
            outcome.taken.append(response.status)
        else:
            outcome.failures.append(Failure.of_response(response))

    def _copy(self, target: Target, request: Request, sender: Party) -> Request:
        hops = request.max_forwards
        return make_request(
            "MESSAGE",
            target.uri,
            from_=sender.name_addr(self._equipment.tag()),
            to=NameAddr(None, SipUri.of_address(target.address)),
            call_id=self._equipment.call_id(),
            cseq=1,
            max_forwards=(MAX_FORWARDS if hops is None else hops) - 1,
            body=request.body,
            content_type=request.headers.get("Content-Type") or "text/plain",
        )
