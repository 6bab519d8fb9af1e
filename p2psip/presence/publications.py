"""What phones publish of themselves: event state with entity tags (RFC 3903). A table; time is an argument."""

from dataclasses import dataclass

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.presence.packages import Package, State
from p2psip.presence.subscription import IntervalTooBrief

PUBLICATIONS_MAX = 256
PUBLICATIONS_PER_ACCOUNT_MAX = 8
SECONDS_MIN = 30
SECONDS_MAX = 3_600
SECONDS_DEFAULT = 3_600


@dataclass(frozen=True, slots=True)
class Publication:
    """What one account has published for one package. `expires_at`: steady seconds."""

    package: str
    account: str
    state: State
    expires_at: float


class Publications:
    """All publications of this node's person, by entity tag."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._by_tag: dict[str, Publication] = {}

    def __len__(self) -> int:
        return len(self._by_tag)

    def of(self, package: str, now: float) -> list[Publication]:
        """The living publications of a package, oldest first."""
        return [each for each in self._by_tag.values() if each.package == package and each.expires_at > now]

    def publish(
        self, package: Package, account: str, *, if_match: str | None, expires: int | None, body: bytes, now: float
    ) -> tuple[str, int]:
        """Serve a PUBLISH (§6): its new entity tag, and the seconds granted. RemoteError with the status of the refusal.

        Without `if_match` it is new; with it and no body a refresh, with a body a change, with `expires` 0 the end.
        """
        self.expire(now)
        held = self._held(package, account, if_match)
        seconds = SECONDS_DEFAULT if expires is None else expires
        if 0 < seconds < SECONDS_MIN:
            raise IntervalTooBrief("publication", SECONDS_MIN)
        seconds = min(seconds, SECONDS_MAX)
        if not body and held is None:
            raise RemoteError("a first PUBLISH needs a body", status=400)
        state = package.parse(body) if body else held.state if held is not None else package.nothing
        if held is None:
            self._check_room(account)
        if if_match is not None:
            self._by_tag.pop(if_match, None)
        tag = self._chance.token(8)
        if seconds:
            self._by_tag[tag] = Publication(package.name, account, state, now + seconds)
        return tag, seconds

    def expire(self, now: float) -> bool:
        """Drop what has run out; whether there was anything."""
        before = len(self._by_tag)
        self._by_tag = {tag: each for tag, each in self._by_tag.items() if each.expires_at > now}
        return len(self._by_tag) != before

    def next_expiry(self) -> float | None:
        """When the next one runs out."""
        return min((each.expires_at for each in self._by_tag.values()), default=None)

    def _held(self, package: Package, account: str, if_match: str | None) -> Publication | None:
        """Step 4: an entity tag must name what this account has published."""
        if if_match is None:
            return None
        held = self._by_tag.get(if_match)
        if held is None or (held.package, held.account) != (package.name, account):
            raise RemoteError("nothing is published under this entity tag", status=412)
        return held

    def _check_room(self, account: str) -> None:
        of_account = sum(each.account == account for each in self._by_tag.values())
        if len(self._by_tag) >= PUBLICATIONS_MAX or of_account >= PUBLICATIONS_PER_ACCOUNT_MAX:
            raise RemoteError("too much is published at once; let some of it expire", status=503)
