"""The registrar of RFC 3261 §10.3 for the phones of this node. A core: authenticated requests in, responses out.

Phones may keep several flows (outbound, RFC 5626 §6) and are given an address for each device (GRUU, RFC 5627 §5).
"""

from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.calls.bindings import Binding, BindingTable
from p2psip.calls.ports import Account
from p2psip.sip.build import make_response
from p2psip.sip.extensions import tokens
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

EXPIRES_SECONDS_MIN = 30
EXPIRES_SECONDS_MAX = 3_600
EXPIRES_SECONDS_DEFAULT = 3_600
CONTACTS_PER_REQUEST_MAX = 16
REG_ID_MAX = (1 << 31) - 1
FLOW_TIMER_SECONDS = 120
FLOW_GRACE_SECONDS = 30


class IntervalTooBrief(RemoteError):
    """A phone asked for less than EXPIRES_SECONDS_MIN (423, §10.2.8)."""

    def __init__(self) -> None:
        super().__init__(f"a registration lasts at least {EXPIRES_SECONDS_MIN} seconds here", status=423)


@dataclass(frozen=True, slots=True)
class _Update:
    """What one Contact of a REGISTER asks for. `seconds` 0 removes. `flow_id`: which of its flows this is, "" if it has one."""

    contact: NameAddr
    seconds: int
    flow_id: str

    @property
    def instance(self) -> str | None:
        """The phone's own name and which of its flows this is (RFC 5626 §4), or None."""
        instance = self.contact.parameter("+sip.instance")
        return f"{instance};{self.flow_id}" if instance else None


def silence_allowed(response: Response) -> float:
    """For how many seconds nothing need come over the connection of a phone that has had this 200 to its REGISTER."""
    timer = response.headers.get("Flow-Timer")
    return EXPIRES_SECONDS_MAX + FLOW_GRACE_SECONDS if timer is None else int(timer) + FLOW_GRACE_SECONDS


class Registrar:
    """Turns REGISTER requests into bindings."""

    def __init__(self, table: BindingTable, addresses: Addresses, chance: Chance) -> None:
        self.table = table
        self._addresses = addresses
        self._chance = chance

    def register(self, request: Request, flow: Flow, account: Account, now: float, unix: float) -> Response:
        """Serve a REGISTER that `account` proved to have sent; RemoteError with the status of the refusal."""
        address = self._address_of_record(request, account)
        present = self.table.of(address, now)
        if request.is_star_contact:
            kept = self._remove_all(request, present)
        else:
            kept = self._update(request, flow, account, address, present, now)
        self.table.replace(address, kept)
        return self._accepted(request, flow, kept, now, unix)

    def _address_of_record(self, request: Request, account: Account) -> str:
        """Steps 1 to 5 of §10.3: the To address, which must be this account's."""
        if self._addresses.of_ours(request.uri) is None:
            raise RemoteError(f"this node registers phones of {self._addresses.overlay} only", status=404)
        if isinstance(request.to.uri, OtherUri) and request.to.uri.scheme != "tel":
            raise RemoteError("an address of record must be a sip or tel URI", status=400)
        asked = self._addresses.of_ours(request.to.uri)
        if asked is None:
            raise RemoteError(f"an address of record must be of {self._addresses.overlay}", status=404)
        wanted = self._addresses.main(account.address)
        if self._addresses.main(asked) == wanted or asked.partition("@")[0] == account.name.lower():
            return wanted
        raise RemoteError(f"this account may register {account.address} only", status=403)

    def _remove_all(self, request: Request, present: list[Binding]) -> list[Binding]:
        if request.expires != 0:
            raise RemoteError("Contact * goes only with Expires: 0 and no other Contact", status=400)
        for binding in present:
            _check_order(request, binding)
        return []

    def _update(
        self, request: Request, flow: Flow, account: Account, address: str, present: list[Binding], now: float
    ) -> list[Binding]:
        """Step 7: all contacts or, when one is refused, none."""
        if len(request.contacts) > CONTACTS_PER_REQUEST_MAX:
            raise RemoteError("too many contacts in one request", status=403)
        kept = list(present)
        for update in _updates(request):
            uri = update.contact.sip_uri()
            for binding in [each for each in kept if each.is_same_phone(uri, update.instance)]:
                if binding in present:
                    _check_order(request, binding)
                kept.remove(binding)
            if update.seconds > 0:
                kept.append(
                    Binding(
                        address=address,
                        account=account.name,
                        contact=uri,
                        flow=flow,
                        call_id=request.call_id,
                        cseq=request.cseq.number,
                        expires_at=now + update.seconds,
                        quality=_quality(update.contact),
                        instance=update.instance,
                    )
                )
        return kept

    def _accepted(self, request: Request, flow: Flow, bindings: list[Binding], now: float, unix: float) -> Response:
        headers = [("Date", _date(int(unix)))]
        wants_gruu = "gruu" in tokens(request.headers, "Supported")
        for binding in bindings:
            left = max(1, round(binding.expires_at - now))
            quality = "" if binding.quality == 1.0 else f";q={binding.quality:g}"
            device = _device_parameters(binding, wants_gruu)
            headers.append(("Contact", f"<{binding.contact}>{quality};expires={left}{device}"))
        if any(update.flow_id and update.seconds for update in _updates(request)):
            headers.append(("Require", "outbound"))
            if flow.reliable:
                headers.append(("Flow-Timer", str(FLOW_TIMER_SECONDS)))
        return make_response(request, 200, to_tag=self._chance.token(4), headers=headers)


@lru_cache(maxsize=2)
def _date(unix: int) -> str:
    """RFC 3261 §20.17; the same for all answers of a second."""
    return formatdate(unix, usegmt=True)


def _updates(request: Request) -> list[_Update]:
    """What the Contacts ask for. A reg-id counts only beside an instance and with outbound supported (RFC 5626 §6)."""
    has_outbound = "outbound" in tokens(request.headers, "Supported")
    found = []
    for contact in request.contacts:
        flow_id = contact.parameter("reg-id") or ""
        is_number = flow_id.isascii() and flow_id.isdigit() and len(flow_id) <= 10 and 0 < int(flow_id) <= REG_ID_MAX
        counts = has_outbound and is_number and contact.parameter("+sip.instance") is not None
        found.append(_Update(contact, _seconds(contact, request), str(int(flow_id)) if counts else ""))
    flows = [update for update in found if update.flow_id and update.seconds]
    if flows and len(request.vias) > 1:
        raise RemoteError("a flow is registered at the first hop, and this request has passed another one", status=439)
    if len(flows) > 1:
        raise RemoteError("one request can register one flow only (RFC 5626 §4.2)", status=400)
    return found


def _device_parameters(binding: Binding, wants_gruu: bool) -> str:
    """The name of the phone as it was given, its flow, and the address of this one phone (RFC 5627 §5.2)."""
    if binding.instance is None:
        return ""
    instance, _, flow_id = binding.instance.rpartition(";")
    found = f";+sip.instance={instance}" + (f";reg-id={flow_id}" if flow_id else "")
    if wants_gruu and binding.device is not None:
        gruu = SipUri.of_address(binding.address).with_parameter("gr", binding.device)
        found += f';pub-gruu="{gruu}"'
    return found


def _check_order(request: Request, binding: Binding) -> None:
    """Within one Call-ID, requests count up; an older one must not undo a newer one (§10.3 step 7)."""
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise RemoteError("a REGISTER that is older than one already seen", status=500)


def _seconds(contact: NameAddr, request: Request) -> int:
    """The expiry that a Contact asks for, as far as it is granted (§10.2.1.1)."""
    text = contact.parameter("expires")
    asked = int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 10 else None
    asked = request.expires if asked is None else asked
    asked = EXPIRES_SECONDS_DEFAULT if asked is None else asked
    if 0 < asked < EXPIRES_SECONDS_MIN:
        raise IntervalTooBrief
    return min(asked, EXPIRES_SECONDS_MAX)


def _quality(contact: NameAddr) -> float:
    try:
        quality = float(contact.parameter("q") or "1")
    except ValueError:
        return 1.0
    return quality if 0.0 <= quality <= 1.0 else 1.0  # also for what is no number at all
