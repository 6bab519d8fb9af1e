"""Where the phones of a person are: bindings of RFC 3261 §10, each tied to the flow that it was registered over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from p2psip.base.errors import RemoteError
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri

BINDINGS_PER_ADDRESS_MAX = 16
BINDINGS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Binding:
    """One phone of `address`. `expires_at` is steady seconds; `quality` is its q value; `instance` its RFC 5626 name."""

    address: str
    account: str
    contact: SipUri
    flow: Flow
    call_id: str
    cseq: int
    expires_at: float
    quality: float = 1.0
    instance: str | None = None

    def is_same_phone(self, contact: SipUri, instance: str | None) -> bool:
        """Whether a Contact names this binding: by instance where both have one, else by URI (RFC 3261 §19.1.4)."""
        if self.instance is not None and instance is not None:
            return self.instance == instance
        return self.contact.matches(contact)


class BindingTable:
    """All bindings, by address. A binding is alive until it expires or its connection ends."""

    def __init__(self) -> None:
        self._bindings: dict[str, list[Binding]] = {}
        self._hooks: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return sum(len(each) for each in self._bindings.values())

    def __iter__(self) -> Iterator[Binding]:
        return (binding for each in self._bindings.values() for binding in each)

    def of(self, address: str, now: float) -> list[Binding]:
        """The living bindings of `address`, best first (§10.2.1.2)."""
        alive = [binding for binding in self._bindings.get(address, []) if binding.expires_at > now]
        return sorted(alive, key=lambda binding: -binding.quality)

    def of_account(self, account: str, now: float) -> list[Binding]:
        """The living bindings that were registered with the credentials of `account`."""
        return [binding for binding in self if binding.account == account and binding.expires_at > now]

    def addresses(self, now: float) -> set[str]:
        """All addresses that have a living binding."""
        return {binding.address for binding in self if binding.expires_at > now}

    def next_expiry(self) -> float | None:
        """When the next binding runs out, in steady seconds."""
        return min((binding.expires_at for binding in self), default=None)

    def replace(self, address: str, bindings: list[Binding]) -> None:
        """Set the bindings of `address` all at once; RemoteError(403) above a bound, and then nothing changes."""
        others = len(self) - len(self._bindings.get(address, []))
        if len(bindings) > BINDINGS_PER_ADDRESS_MAX or others + len(bindings) > BINDINGS_MAX:
            raise RemoteError("too many phones are registered for this address", status=403)
        if bindings:
            self._bindings[address] = bindings
        else:
            self._bindings.pop(address, None)
        for hook in self._hooks:
            hook()

    def on_change(self, hook: Callable[[], None]) -> None:
        """Call `hook()` after each change; it must be quick."""
        self._hooks.append(hook)

    def expire(self, now: float) -> None:
        """Drop what has run out."""
        self._keep(lambda binding: binding.expires_at > now)

    def flow_closed(self, flow: Flow) -> None:
        """Drop what was registered over a connection that has ended: nobody can be reached there any more."""
        self._keep(lambda binding: binding.flow != flow)

    def _keep(self, wanted: Callable[[Binding], bool]) -> None:
        for address in list(self._bindings):
            kept = [binding for binding in self._bindings[address] if wanted(binding)]
            self.replace(address, kept)
