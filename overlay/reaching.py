"""Whether a node can be called: another node looks its registration up and reaches it through what stands there.

    REACH   [address]   ->   [ended, reached, words]

Looking up takes longer than an answer may: the first request begins, and the asker repeats it until `ended`. The check goes out
from the port that the asker has just sent to; so it tells whether registration and ways are good, and not what a firewall lets
in from strangers: that is told by dial-back (`overlay.dialback`).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from overlay.budget import Budget
from overlay.contact import Contact, network_of
from overlay.events import LookupDone
from overlay.found import read_registrations
from overlay.holder import Asking
from overlay.probing import may_probe
from overlay.records import registration_key
from overlay.registration import TEXT_CHARACTERS_MAX, Rendezvous
from overlay.rpc import PING, Answer
from overlay.searches import Asker
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import LocalError, RemoteError

CHECKS_MAX = 64
CHECKS_PER_SECOND_MAX = 5
FORGET_SECONDS = 15.0
AGAIN_SECONDS = 2.0
NOT_REGISTERED = "no registration of this node was found in the overlay"


@dataclass(frozen=True, slots=True)
class CallCheck:
    """Whether this node can be called now, in words for a person; `tester` is the Node-ID of who tried, if anybody did."""

    is_callable: bool
    words: str
    tester: bytes | None


@dataclass(slots=True)
class _Check:
    key: bytes
    begun: float
    ended: bool = False
    reached: bool = False
    words: str = "still trying"
    left: int = 0
    is_told: bool = False


class Reaching:
    """The tester's side. `ways(told, now)` makes addresses of what a registration tells."""

    __slots__ = ("_ask", "_budget", "_checks", "_find", "_is_member", "_time", "_ways")

    def __init__(
        self,
        ask: Asker,
        find: Callable[[bytes, float, Callable[[LookupDone], None]], None],
        ways: Callable[[Sequence[Address | Rendezvous], float], list[Address]],
        is_member: Callable[[bytes, float], bool],
        time: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._find = find
        self._ways = ways
        self._is_member = is_member
        self._time = time
        self._checks: OrderedDict[bytes, _Check] = OrderedDict()
        self._budget = Budget(CHECKS_PER_SECOND_MAX)

    def __len__(self) -> int:
        """How many checks are remembered (at most CHECKS_MAX)."""
        return len(self._checks)

    def reach(self, asking: Asking, arguments: list[Any]) -> Any:
        """REACH: begin a check of the asker, or tell how it stands."""
        match arguments:
            case [str() as address, *_] if len(address) <= TEXT_CHARACTERS_MAX:
                pass
            case _:
                raise RemoteError("a check without an address")
        if not asking.is_proved or not self._is_member(asking.node_key, asking.now):
            raise RemoteError("a check for a node that has not proved who and where it is", status=401)
        key = registration_key(address)
        check = self._checks.get(asking.node_key)
        if check is None or (check.is_told or check.key != key or asking.now - check.begun > FORGET_SECONDS):
            if check is not None and asking.now - check.begun < AGAIN_SECONDS:
                return [False, False, "the next check begins soon"]
            check = self._begin(asking.node_key, asking.source[0], key, asking.now)
        check.is_told = check.ended
        return [check.ended, check.reached, check.words]

    def _begin(self, node_key: bytes, source: str, key: bytes, now: float) -> _Check:
        if not self._budget.spend(now):
            raise RemoteError("more checks in a second than this node makes", status=503)
        check = self._checks[node_key] = _Check(key, now)
        self._checks.move_to_end(node_key)
        if len(self._checks) > CHECKS_MAX:
            self._checks.popitem(last=False)
        try:
            self._find(key, now, lambda done: self._found(node_key, source, check, done))
        except LocalError:
            del self._checks[node_key]
            raise RemoteError("too many lookups at once", status=503) from None
        return check

    def _found(self, node_key: bytes, source: str, check: _Check, done: LookupDone) -> None:
        mine = [each for each in read_registrations(done.records) if each.node_key == node_key]
        if not mine:
            check.ended, check.words = True, NOT_REGISTERED
            return
        ways = self._ways([way for way in mine[0].ways if may_try(way, source)], self._time())
        if not ways:
            check.ended, check.words = True, "the registration names no way to this node: it has no rendezvous"
            return
        check.left = len(ways)
        kind = "super-node" if mine[0].rendezvous else "address"

        def tried(_contact: Contact, answer: Answer | None) -> None:
            check.left -= 1
            if answer is not None:
                check.ended, check.reached = True, True
                check.words = f"reached through the {kind} that its registration names"
            elif check.left == 0 and not check.reached:
                check.ended = True
                check.words = f"no answer through any {kind} that its registration names ({len(ways)} tried)"

        for way in ways:
            self._ask(Contact(node_key, way), PING, [], tried, self._time())


def may_try(way: Address | Rendezvous, asker: str) -> bool:
    """Whether a way is one to try for this asker: nobody makes us send into our own networks from elsewhere."""
    host = way.address[0] if isinstance(way, Rendezvous) else way[0]
    return network_of(host) is not None if is_synthetic(asker) else may_probe(host, asker)
