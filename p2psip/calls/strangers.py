"""The public door: calls from the open SIP world for the people of one domain, whose callers nobody has verified.

What comes in here is never passed on to anywhere but those people, nobody registers, and every refusal reads the same: 480
after `REFUSAL_SECONDS`, whether there is no such person, no phone of theirs, or no wish to answer. Only who rings is told more.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import trio

from p2psip.base.core import host_key
from p2psip.base.errors import RemoteError
from p2psip.calls.admission import BLOCK_SECONDS, Admission, AdmissionLimits, Verdict
from p2psip.calls.answers import unsupported_options
from p2psip.calls.claims import stranger
from p2psip.calls.equipment import Equipment, Party
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Response
from p2psip.sip.uri import OtherUri, SipUri, unescape

REFUSAL_SECONDS = 2.0
RETRY_SECONDS = 60
REQUEST_LINE_BYTES_MAX = 2_304
"""A method, a URI of the longest that are read, and the version."""
ALLOWED_METHODS = "INVITE, ACK, CANCEL, BYE, OPTIONS"

_ALLOW = ("Allow", ALLOWED_METHODS)
_TOLD_WHEN_RINGING = frozenset((486, 488, 600, 603, 606))
_REQUEST_LINE = re.compile(  # possessive, for a line that is none to cost no more than its length
    rb"\s*+([A-Z]{1,32}+) sips?:(?:[^\s@]*+@)?(\[[0-9a-f:.]++\]|[0-9a-z.\-]++)[^\s]*+ sip/2", re.IGNORECASE
)
_IN_DIALOG = re.compile(rb"\r\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)

Carry = Callable[[ServerExchange, Party, str, float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DomainDoor:
    """What the public door serves: `people` are overlay addresses by the user part under which the world calls them."""

    name: str
    people: Mapping[str, str]
    limits: AdmissionLimits = field(default_factory=AdmissionLimits)
    ringing_seconds_max: float = 60.0


class Strangers:
    """Serves what comes in at the public door. `carry(exchange, caller, address, seconds)` makes a call of an INVITE, and lets
    it ring for so long.
    """

    def __init__(
        self,
        door: DomainDoor,
        equipment: Equipment,
        carry: Carry,
        is_provider: Callable[[Flow], bool] = lambda _flow: False,
    ) -> None:
        self._door = door
        self._is_provider = is_provider
        self._equipment = equipment
        self._carry = carry
        self._ports: set[int] = set()
        self.admission = Admission(door.limits, equipment.clock.now())

    def open(self, port: int) -> None:
        """What arrives at this port of ours is of the open world from now on."""
        self._ports.add(port)

    def is_public(self, flow: Flow) -> bool:
        """Whether `flow` came in at the public door, from somebody who is not the provider of a trunk of ours."""
        return flow.local[1] in self._ports and flow.transport != OVERLAY and not self._is_provider(flow)

    # Before anything is parsed

    def hears(self, data: bytes, flow: Flow) -> bool:
        """Whether a message is read at all; what is not is never answered.

        Passed over are floods, hosts that are blocked, and requests for another domain than ours: scanners know addresses,
        callers know names. What says that it belongs to a dialog is read even of a blocked host, for its calls to end well.
        """
        if not self.is_public(flow):
            return True
        host, now = flow.remote[0], self._equipment.clock.now()
        if not self.admission.may_speak(host, now):
            self._note("flood", host, "more messages than are read")
            return False
        if data[:7].upper() == b"SIP/2.0" or _IN_DIALOG.search(data):
            return True
        if self.admission.is_blocked(host, now):
            return False
        match = _REQUEST_LINE.match(data, 0, REQUEST_LINE_BYTES_MAX)
        if match is None:
            self._probe(host, "sends what is no SIP")
            return False
        if match[2].decode().lower() != self._door.name:
            self._probe(host, f"{match[1].decode()[:16]} for another domain")
            return False
        return True

    def accepts(self, host: str) -> bool:
        """Whether a host may connect: one that is blocked may not, not even to end a call that it has."""
        return not self.admission.is_blocked(host, self._equipment.clock.now())

    def note_malformed(self, flow: Flow) -> None:
        """What was read was no SIP."""
        if self.is_public(flow):
            self._probe(flow.remote[0], "sends malformed SIP")

    # What is read

    async def serve(self, exchange: ServerExchange) -> None:
        """Answer one request outside of dialogs; RemoteError for a refusal that says nothing of people."""
        request, host = exchange.request, exchange.flow.remote[0]
        if unknown := unsupported_options(request):
            raise RemoteError(f"{', '.join(unknown)} is not supported here", status=420)
        if request.max_forwards == 0:
            raise RemoteError("too many hops", status=483)
        match request.method:
            case "INVITE":
                await self._invited(exchange)
            case "OPTIONS":
                exchange.respond(make_response(request, 200, to_tag=self._equipment.tag(), headers=[_ALLOW]))
            case method:
                self._probe(host, f"{method[:16]} at the public door")
                exchange.respond(make_response(request, 405, to_tag=self._equipment.tag(), headers=[_ALLOW]))

    async def _invited(self, exchange: ServerExchange) -> None:
        host, now = exchange.flow.remote[0], self._equipment.clock.now()
        caller = self.party(exchange.request.from_, exchange.flow)
        verdict = self.admission.invite(host, now)
        if verdict is not Verdict.ADMITTED:
            self._note("stranger refused", host, verdict.value)
            busy = [("Retry-After", str(RETRY_SECONDS))]
            exchange.respond(make_response(exchange.request, 503, to_tag=self._equipment.tag(), headers=busy))
            return
        try:
            await self._serve_admitted(exchange, caller)
        finally:
            self.admission.release(host)

    async def _serve_admitted(self, exchange: ServerExchange, caller: Party) -> None:
        discretion = Discretion(exchange, self._equipment.tag())
        answer_at = trio.current_time() + REFUSAL_SECONDS
        try:
            address = self._address_of(exchange.request.uri)
            if address is None:
                self._probe(exchange.flow.remote[0], f"calls nobody: {exchange.request.uri}")
                discretion.refuse()
            else:
                await self._carry(exchange, caller, address, self._door.ringing_seconds_max)
        except RemoteError:
            discretion.refuse()
        finally:
            if discretion.holds:
                with trio.move_on_at(answer_at):
                    await exchange.cancelled.wait()
            discretion.release()

    def party(self, claimed: NameAddr, flow: Flow) -> Party:
        """Who says to be calling, marked so that nobody takes it for proved; RemoteError(403) for one of our own names."""
        uri = claimed.uri
        ours = (self._door.name, self._equipment.settings.overlay)
        if isinstance(uri, SipUri) and uri.host.lower().rstrip(".") in ours:
            self._probe(flow.remote[0], f"claims to be {uri.address}")
            raise RemoteError(f"nobody of {uri.host} calls from outside", status=403)
        return stranger(claimed, flow)

    def _address_of(self, uri: SipUri | OtherUri) -> str | None:
        if not isinstance(uri, SipUri) or uri.user is None or uri.host.lower() != self._door.name:
            return None
        return self._door.people.get(unescape(uri.user).lower())

    def _probe(self, host: str, words: str) -> None:
        self._note("scan", host, words)
        if self.admission.probe(host, self._equipment.clock.now()):
            self._note("scanner blocked", host, f"for {BLOCK_SECONDS:.0f} s; last: {words}")

    def _note(self, kind: str, host: str, words: str) -> None:
        self._equipment.incidents.note(kind, host_key(host), words, self._equipment.clock.unix())


class Discretion:
    """Stands before the answers to one INVITE of a stranger. Before anybody rings, every refusal becomes a 480 that is held
    until `release`; afterwards refusals go out at once, without the words that are meant for our own phones.
    """

    def __init__(self, exchange: ServerExchange, tag: str) -> None:
        self._exchange = exchange
        self._tag = tag
        self._rang = False
        self.holds = False
        exchange.screen = self._screen

    def refuse(self) -> None:
        """Hold a refusal, if nothing has been answered."""
        if not self._exchange.answered:
            self._exchange.respond(self._plain(480))

    def release(self) -> None:
        """Say now what is held, and be in the way of nothing any more."""
        self._exchange.screen = None
        if self.holds:
            self.holds = self._exchange.answered = False
            self._exchange.respond(self._plain(487 if self._exchange.cancelled.is_set() else 480))

    def _screen(self, response: Response) -> Response | None:
        if response.status < 300:
            self._rang = self._rang or response.status > 100
            return response
        if response.status == 487 or self._rang:
            told = response.status == 487 or response.status in _TOLD_WHEN_RINGING
            return self._plain(response.status if told else 480)
        self.holds = True
        return None

    def _plain(self, status: int) -> Response:
        return make_response(self._exchange.request, status, to_tag=self._tag)
