"""The one entry of calls: takes every new request from SIP, finds out who sent it, and hands it to who serves it.

`CallServer(...)` is given the ports; `run` serves until cancelled; `stop` ends calls and registrations properly before that.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.calls.announcing import Announcing
from p2psip.calls.answers import ALLOWED_METHODS, SUPPORTED, Failure, refuse, unsupported_options
from p2psip.calls.authentication import Authenticator, Refusal
from p2psip.calls.bindings import BINDINGS_PER_ADDRESS_MAX, Binding, BindingTable
from p2psip.calls.call import Call
from p2psip.calls.call_log import CallLog
from p2psip.calls.claims import peer
from p2psip.calls.clicking import Referrals
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment, Party, name_of
from p2psip.calls.incidents import Incidents
from p2psip.calls.outside import OutsidePort
from p2psip.calls.patch import SAMPLE_SECONDS
from p2psip.calls.pickup import Pickups
from p2psip.calls.ports import AccountsPort, CallSettings, ClockPort, DirectoryPort, MediaPort, SipPort
from p2psip.calls.publication import Publication
from p2psip.calls.registrar import EXPIRES_SECONDS_MIN, Registrar, silence_allowed
from p2psip.calls.sides import Side
from p2psip.calls.strangers import DomainDoor, Strangers
from p2psip.calls.targets import Router
from p2psip.messaging.messages import MessageRelay
from p2psip.sip.build import make_response
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.uri import OtherUri, SipUri

CALLS_MAX = 1_000
REQUESTS_MAX = 2_000
DELAYED_MAX = 256
STOP_SECONDS_MAX = 3.0

_log = logging.getLogger(__name__)

Serve = Callable[[ServerExchange], Awaitable[None]]
"""Serves one new request outside of dialogs; a RemoteError becomes the answer."""


class CallServer:
    """Registrar, calls and messages of one node."""

    def __init__(
        self,
        *,
        settings: CallSettings,
        sip: SipPort,
        media: MediaPort,
        directory: DirectoryPort,
        accounts: AccountsPort,
        clock: ClockPort,
        chance: Chance,
        door: DomainDoor | None = None,
    ) -> None:
        self.bindings = BindingTable()
        self.log = CallLog()
        self.incidents = Incidents()
        addresses = Addresses(settings.overlay, settings.addresses)
        self._settings = settings
        self._sip = sip
        self._directory = directory
        self._clock = clock
        self._chance = chance
        announcing = Announcing(settings.announcement, clock, chance)
        self._equipment = Equipment(
            sip, media, clock, chance, settings, addresses, self.log, announcing, self.incidents, self._take
        )
        self._authenticator = Authenticator(settings.overlay, accounts, settings.default_algorithm, chance)
        self._registrar = Registrar(self.bindings, addresses, chance)
        self._router = Router(
            settings=settings, addresses=addresses, table=self.bindings, directory=directory, sip=sip, clock=clock
        )
        self._messages = MessageRelay(self._equipment, self._router)
        self._publication = Publication(directory, self.bindings, addresses, clock)
        self.strangers = None if door is None else Strangers(door, self._equipment, self._carry, self._is_provider)
        self._calls: dict[Call, None] = {}  # in the order of their beginning
        self._pickups = Pickups(self._equipment, self)
        self._services: dict[str, Serve] = {"REFER": Referrals(self._equipment, self).serve}
        self._requests = 0
        self._delayed = 0
        self._is_stopping = False
        self._idle = trio.Event()
        self.failures = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        self._sip.on_flow_closed(self._flow_closed)
        self._sip.follow_flows(self._successor)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publication.run)
            nursery.start_soon(self._sample_media)
            task_status.started()
            self._nursery = nursery
            self._sip.answer_at_once(self._answer_at_once)
            async for exchange in self._sip.incoming:
                self._take(exchange)

    def _take(self, exchange: ServerExchange) -> None:
        """Serve one request in a task of its own."""
        if self._requests >= REQUESTS_MAX:
            self._refuse(exchange, Failure(503, "this node is busy"))
            return
        self._requests += 1
        self._nursery.start_soon(self._serve, exchange)

    async def _sample_media(self) -> None:
        while True:
            await trio.sleep(SAMPLE_SECONDS)
            for call in self._calls:
                call.patch.sample()

    async def stop(self) -> None:
        """End all calls with a BYE, answer what rings, withdraw the registration; takes up to STOP_SECONDS_MAX."""
        self._is_stopping = True
        for call in list(self._calls):
            call.stop(Failure(503, "the node is going down"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publication.close)
            with trio.move_on_after(STOP_SECONDS_MAX):
                while self._calls:
                    self._idle = trio.Event()
                    await self._idle.wait()

    @property
    def standing(self) -> Iterable[Call]:
        """All calls of this node, ringing ones too."""
        return self._calls

    def person_of(self, side: Side) -> str | None:
        """The address of the person whose phone of this node `side` is; None for anybody else."""
        bindings = (each.address for each in self.bindings if name_of(each.flow, each.account) == side.name)
        return next(bindings, None)

    @property
    def equipment(self) -> Equipment:
        """What calls work with, for services beside them."""
        return self._equipment

    def use_outside(self, outside: OutsidePort) -> None:
        """Reach, and be reached by, what `outside` knows of the world beyond the overlay."""
        self._router.outside = outside
        self._publication.is_needed = outside.is_offered
        self._publication.note_change()

    def serve_method(self, method: str, serve: Serve) -> None:
        """Let `serve` answer new requests of `method`, in the place of the refusal that they get else."""
        self._services[method] = serve

    def restore(self, bindings: Sequence[Binding]) -> None:
        """Take back phones that registered before a restart; one that has registered anew meanwhile goes first."""
        for binding in bindings:
            present = self.bindings.of(binding.address, self._clock.now())
            is_known = any(each.is_same_phone(binding.contact, binding.instance) for each in present)
            if not is_known and len(present) < BINDINGS_PER_ADDRESS_MAX:
                self.bindings.replace(binding.address, [*present, binding])
        self._publication.note_change()

    def status(self) -> dict[str, Any]:
        """Phones and calls for the command line: `phones`, `calls` (running), `recent` (all records kept, in brief)."""
        now, unix = self._clock.now(), self._clock.unix()
        for call in self._calls:
            call.patch.note_facts()
        phones = [
            {
                "address": binding.address,
                "account": binding.account,
                "contact": str(binding.contact),
                "flow": str(binding.flow),
                "expires_seconds": binding.expires_at - now,
            }
            for binding in self.bindings
            if binding.expires_at > now
        ]
        return {
            "phones": phones,
            "published": self._publication.is_published,
            "calls": [record.as_json(unix) for record in self.log.current()],
            "recent": [record.as_brief_json(unix) for record in self.log],
            "refused": self.incidents.as_json(),
        }

    def call_facts(self, number: int) -> dict[str, Any] | None:
        """All that is known of one call, running or past, with its ladder and its media; None when it is forgotten."""
        for call in self._calls:
            if call.record.number == number:
                call.patch.note_facts()
        record = self.log.find(number)
        return None if record is None else record.as_json(self._clock.unix())

    # One request

    def _answer_at_once(self, exchange: ServerExchange) -> bool:
        """Answer a REGISTER, most of what comes, without a task of its own; False for what may have to wait."""
        is_public = self.strangers is not None and self.strangers.is_public(exchange.flow)
        if exchange.request.method != "REGISTER" or is_public:
            return False
        with self._answering(exchange):
            self._check(exchange)
            refusal = self._register(exchange)
            if refusal is not None and refusal.delay_seconds:
                self._nursery.start_soon(self._refuse_later, exchange, refusal)
            elif refusal is not None:
                self._note(exchange, refusal)
                exchange.respond(refusal.response)
        return True

    async def _serve(self, exchange: ServerExchange) -> None:
        try:
            with self._answering(exchange):
                await self._dispatch(exchange)
        finally:
            self._requests -= 1

    @contextmanager
    def _answering(self, exchange: ServerExchange) -> Iterator[None]:
        """The one boundary where errors become answers."""
        try:
            yield
        except RemoteError as error:
            self._refuse(exchange, Failure.of_error(error))
        except Exception:  # the driver loop of this floor: one broken request must not end the node
            self.failures += 1
            _log.exception("%r over %s could not be served", exchange.request, exchange.flow)
            self._refuse(exchange, Failure(500, "this node made a mistake"))

    def _check(self, exchange: ServerExchange) -> None:
        request = exchange.request
        udp = self._sip.instead_of(exchange.flow)
        if udp is None or not (self.bindings.of_flow(udp) or self.bindings.of_flow(exchange.flow)):
            self._router.outside.admit(exchange.flow)
        if unknown := unsupported_options(request):
            raise RemoteError(f"{', '.join(unknown)} is not supported here", status=420)
        if isinstance(request.uri, OtherUri) and request.uri.scheme != "tel":
            raise RemoteError(f"the scheme {request.uri.scheme!r} is not supported", status=416)

    async def _dispatch(self, exchange: ServerExchange) -> None:
        request = exchange.request
        if self.strangers is not None and self.strangers.is_public(exchange.flow):
            await self.strangers.serve(exchange)
            return
        self._check(exchange)
        match request.method:
            case "OPTIONS":
                headers = [("Allow", ALLOWED_METHODS), ("Accept", "application/sdp, text/plain")]
                headers.append(("Supported", SUPPORTED))
                exchange.respond(make_response(request, 200, to_tag=self._equipment.tag(), headers=headers))
            case "INVITE":
                await self._call(exchange)
            case "MESSAGE":
                await self._message(exchange)
            case method if method in self._services:
                await self._services[method](exchange)
            case "SUBSCRIBE" | "PUBLISH":
                raise RemoteError("this node keeps no presence and no mailbox", status=489)
            case "BYE" | "INFO" | "NOTIFY" | "UPDATE" | "PRACK":
                raise RemoteError("there is no such call", status=481)
            case method:
                raise RemoteError(f"{method} is not served here", status=405)

    def _register(self, exchange: ServerExchange) -> Refusal | None:
        if exchange.flow.transport == OVERLAY or self._is_provider(exchange.flow):
            raise RemoteError("nodes and providers do not register here", status=403)
        now = self._clock.now()
        account = self._authenticator.check(exchange.request, exchange.flow, now)
        if isinstance(account, Refusal):
            return account
        try:
            response = self._registrar.register(exchange.request, exchange.flow, account, now, self._clock.unix())
        except RemoteError as error:
            if error.status != 423:
                raise
            brief = [("Min-Expires", str(EXPIRES_SECONDS_MIN))]
            response = make_response(exchange.request, 423, to_tag=self._equipment.tag(), headers=brief)
        exchange.respond(response)
        if response.status == 200 and exchange.flow.reliable:
            self._sip.watch_flow(exchange.flow, silence_allowed(response))
        self._publication.note_change()
        return None

    async def _refuse_later(self, exchange: ServerExchange, refusal: Refusal) -> None:
        with self._answering(exchange):
            await self._send_later(exchange, refusal)

    async def _call(self, exchange: ServerExchange) -> None:
        arrival = self._router.outside.arrival(exchange.request, exchange.flow)
        if arrival is not None:
            caller = Party(arrival.caller, arrival.display, exchange.flow, kind="trunk", line=arrival.line)
            try:
                if exchange.request.max_forwards == 0:
                    raise RemoteError("too many hops", status=483)
                await self._carry(exchange, caller, arrival.callee)
            finally:
                arrival.line.close()
            return
        sender = await self.sender(exchange)
        if sender is None:
            return
        if "Replaces" in exchange.request.headers and sender.kind != "stranger":
            await self._pickups.serve(exchange, sender)
            return
        await self._carry(exchange, sender, self._router.address_of(exchange.request, sender))

    async def place(self, exchange: ServerExchange, sender: Party, end: MediaEnd) -> None:
        """Carry a call that this node makes for one of its phones, by the rules for that phone."""
        await self._carry(exchange, sender, self._router.address_of(exchange.request, sender), end=end)

    async def _carry(
        self,
        exchange: ServerExchange,
        sender: Party,
        address: str,
        ringing_seconds_max: float = math.inf,
        end: MediaEnd | None = None,
    ) -> None:
        if self._is_stopping or len(self._calls) >= CALLS_MAX:
            raise RemoteError("this node carries as many calls as it can", status=503)
        call = Call(self._equipment, self._router, exchange, sender, address, end)
        call.ringing_seconds_max = min(call.ringing_seconds_max, ringing_seconds_max)
        self._calls[call] = None
        try:
            await call.run()
        finally:
            self._calls.pop(call, None)
            self._idle.set()

    def _is_provider(self, flow: Flow) -> bool:
        return self._router.outside.is_provider(flow)

    async def _message(self, exchange: ServerExchange) -> None:
        sender = await self.sender(exchange)
        if sender is not None:
            await self._messages.relay(exchange, sender, self._router.address_of(exchange.request, sender))

    async def sender(self, exchange: ServerExchange) -> Party | None:
        """Who sent a request, proved; None when the answer has been given (or will be). Also checks Max-Forwards."""
        request, flow = exchange.request, exchange.flow
        if request.max_forwards == 0:
            raise RemoteError("too many hops", status=483)
        if flow.transport == OVERLAY:
            return peer(request, flow, self._settings.overlay, self._directory)
        if self._router.outside.is_provider(flow):
            raise RemoteError("a provider may call, and nothing else", status=403)
        if self._settings.trust_registered_flows:
            for binding in self.bindings.of_flow(flow):
                if binding.expires_at > self._clock.now():
                    return Party(binding.address, request.from_.display, flow, binding.account)
        account = self._authenticator.check(request, flow, self._clock.now())
        if isinstance(account, Refusal):
            await self._send_later(exchange, account)
            return None
        return Party(self._equipment.addresses.main(account.address), request.from_.display, flow, account.name)

    async def _send_later(self, exchange: ServerExchange, refusal: Refusal) -> None:
        """Wrong passwords are answered slowly; above DELAYED_MAX of them waiting, at once and with 503."""
        self._note(exchange, refusal)
        if refusal.delay_seconds and self._delayed >= DELAYED_MAX:
            raise RemoteError("too many wrong passwords at once", status=503)
        self._delayed += 1
        try:
            await trio.sleep(refusal.delay_seconds)
        finally:
            self._delayed -= 1
        exchange.respond(refusal.response)

    def _note(self, exchange: ServerExchange, refusal: Refusal) -> None:
        if refusal.incident is not None:
            self.incidents.note(refusal.incident[0], exchange.flow.remote[0], refusal.incident[1], self._clock.unix())

    def _refuse(self, exchange: ServerExchange, failure: Failure) -> None:
        try:
            exchange.respond(refuse(exchange.request, failure, self._settings.overlay, to_tag=self._equipment.tag()))
        except SipSyntaxError as error:
            _log.debug("a request too broken to be answered: %s", error)

    def _successor(self, flow: Flow) -> tuple[Flow, SipUri] | None:
        binding = self.bindings.successor(flow, self._clock.now())
        return None if binding is None else (binding.flow, replace(binding.contact, headers=()))

    def _flow_closed(self, flow: Flow) -> None:
        self.bindings.flow_closed(flow)
        self._publication.note_change()
