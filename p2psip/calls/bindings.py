"""Where the phones of a person are: bindings of RFC 3261 §10, each tied to the flow that it was registered over."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from p2psip.base.errors import RemoteError
from p2psip.base.timers import Timers
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri

BINDINGS_PER_ADDRESS_MAX = 16
BINDINGS_MAX = 16_384
LOST_FLOWS_MAX = 1_024

_INSTANCE = re.compile(r"\"<(urn:[A-Za-z0-9:._\-]{1,128})>\"")


@dataclass(frozen=True, slots=True)
class Binding:
    """One phone of `address`. `expires_at` is steady seconds; `quality` is its q value.

    `instance` is its RFC 5626 name as it was quoted, a semicolon, and which of the phone's flows this is (its reg-id, or nothing).
    """

    address: str
    account: str
    contact: SipUri
    flow: Flow
    call_id: str
    cseq: int
    expires_at: float
    quality: float = 1.0
    instance: str | None = None

    @property
    def device(self) -> str | None:
        """The name of the phone (a URN), whichever flow this is (RFC 5626 §4.1)."""
        return None if self.instance is None else device_of(self.instance)

    def is_same_phone(self, contact: SipUri, instance: str | None) -> bool:
        """Whether a Contact names this binding: by instance and flow where both have one, else by URI (RFC 3261 §19.1.4)."""
        if self.instance is not None and instance is not None:
            return self.instance == instance
        return self.contact.matches(contact)


def device_of(instance: str) -> str | None:
    """The URN in `"<urn:...>";reg-id`; None where there is none (RFC 5626 §4.1)."""
    found = _INSTANCE.match(instance)
    return None if found is None else found[1].lower()


class BindingTable:
    """All bindings, by address. A binding is alive until it expires or its connection ends."""

    def __init__(self) -> None:
        self._bindings: dict[str, list[Binding]] = {}
        self._count = 0
        self._per_flow: dict[Flow, list[Binding]] = {}
        self._expiries: Timers[str] = Timers()  # of each address, its first
        self._lost: dict[Flow, tuple[str, str]] = {}
        self._hooks: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Binding]:
        return (binding for each in self._bindings.values() for binding in each)

    def of(self, address: str, now: float) -> list[Binding]:
        """The living bindings of `address`, best first (§10.2.1.2)."""
        alive = [binding for binding in self._bindings.get(address, []) if binding.expires_at > now]
        return sorted(alive, key=lambda binding: -binding.quality)

    def ringing(self, address: str, now: float, device: str | None = None) -> list[Binding]:
        """The living bindings of `address` that ring, best first: of each phone with several flows the newest (RFC 5626 §6).

        With `device`, of that phone only (RFC 5627 §5.1).
        """
        alive = [binding for binding in self._bindings.get(address, []) if binding.expires_at > now]
        wanted = [binding for binding in _one_flow_each(alive) if device is None or binding.device == device]
        return sorted(wanted, key=lambda binding: -binding.quality)

    def successor(self, flow: Flow, now: float) -> Binding | None:
        """Another living flow of the phone whose `flow` has failed; None for a phone without a name (RFC 5626 §5.3)."""
        address, device = self._lost.get(flow, (None, None))
        for binding in self.of_flow(flow):
            address, device = binding.address, binding.device
        if address is None or device is None:
            return None
        others = [each for each in self._bindings.get(address, []) if each.device == device and each.flow != flow]
        return next((each for each in reversed(others) if each.expires_at > now), None)

    def ringing_account(self, account: str, now: float) -> list[Binding]:
        """The living bindings that ring of those that were registered with the credentials of `account`."""
        return _one_flow_each([each for each in self if each.account == account and each.expires_at > now])

    def of_flow(self, flow: Flow) -> list[Binding]:
        """The bindings that were registered over `flow`, run out or not."""
        return list(self._per_flow.get(flow, ()))

    def is_there(self, address: str, now: float) -> bool:
        """Whether `address` has a living binding."""
        return any(binding.expires_at > now for binding in self._bindings.get(address, ()))

    def next_expiry(self) -> float | None:
        """When the next binding runs out, in steady seconds."""
        return self._expiries.next()

    def replace(self, address: str, bindings: list[Binding]) -> None:
        """Set the bindings of `address` all at once; RemoteError(403) above a bound, and then nothing changes."""
        before = self._bindings.get(address, [])
        others = self._count - len(before)
        if len(bindings) > BINDINGS_PER_ADDRESS_MAX or others + len(bindings) > BINDINGS_MAX:
            raise RemoteError("too many phones are registered for this address", status=403)
        self._count = others + len(bindings)
        for binding in before:
            same = self._per_flow[binding.flow]
            same.remove(binding)
            if not same:
                del self._per_flow[binding.flow]
        for binding in bindings:
            self._per_flow.setdefault(binding.flow, []).append(binding)
        if bindings:
            self._bindings[address] = bindings
            self._expiries.set(address, min(binding.expires_at for binding in bindings))
        else:
            self._bindings.pop(address, None)
            self._expiries.stop(address)
        for hook in self._hooks:
            hook()

    def on_change(self, hook: Callable[[], None]) -> None:
        """Call `hook()` after each change; it must be quick."""
        self._hooks.append(hook)

    def expire(self, now: float) -> None:
        """Drop what has run out."""
        for address in self._expiries.expired(now):
            self._keep(address, lambda binding: binding.expires_at > now)

    def flow_closed(self, flow: Flow) -> None:
        """Drop what was registered over a connection that has ended: nobody can be reached there any more."""
        gone = self.of_flow(flow)
        for binding in gone:
            if binding.device is not None:
                self._lost[flow] = binding.address, binding.device
        while len(self._lost) > LOST_FLOWS_MAX:
            del self._lost[next(iter(self._lost))]
        for address in {binding.address for binding in gone}:
            self._keep(address, lambda binding: binding.flow != flow)

    def _keep(self, address: str, wanted: Callable[[Binding], bool]) -> None:
        self.replace(address, [binding for binding in self._bindings[address] if wanted(binding)])


def _one_flow_each(bindings: list[Binding]) -> list[Binding]:
    """Of each phone with several flows the one that was registered last."""
    newest = {binding.device: binding for binding in bindings}
    return [binding for binding in bindings if binding.device is None or newest[binding.device] is binding]
