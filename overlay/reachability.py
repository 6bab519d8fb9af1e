"""Whether others can reach this node: what its NAT does, in the words of RFC 5780 and RFC 4787, and the role that follows.

**Mapping** (RFC 5780 §4.3) is read from votes: each answer says where the asker was seen from, and hosts are compared.
**Filtering** (§4.4) is read from probes, datagrams that others send unasked: one from a host that nothing was sent to shows
endpoint-independent filtering, one from another port of a host that something was sent to shows address-dependent filtering.

**Role.** PROVED reachable, by a probe (or a request of its own will) from a host that nothing was sent to in the last
UNTOUCHED_SECONDS: PEER. Refuted, for the probers of SILENT_TRIES_NEEDED tries stayed silent: CLIENT. Nobody could test: PEER if
the address seen is one of our own (LAN, loopback, public) and no firewall was noticed (the tester itself was not heard from
another port in ELSEWHERE_SILENT_NEEDED tries), else CLIENT; a node that nobody has seen yet is a PEER. A verdict stands until
a test says otherwise or the network changes; a test that could prove nothing changes nothing. A setting may force the role.

Evidence counts in one address family only (IPv4 if any IPv4 host has seen us), never through relays or streams, and never
from our own local network when we are seen elsewhere. This file decides; `overlay.dialback` asks.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from overlay.contact import network_of
from overlay.touched import Touched
from p2psip.base.core import Address, is_synthetic

VOTES_MAX = 32
VOTE_SECONDS = 600.0
FRESH_SECONDS = 60.0
LOCAL_MAX = 64
PROBERS_MAX = 2
EARLY_MAX = 8
SILENT_TRIES_NEEDED = 2
SILENT_TRIES_NEEDED_WHEN_PROVED = 3
ELSEWHERE_SILENT_NEEDED = 2
CONFIRMING_HOSTS = 2


class Role(enum.Enum):
    """What a node is to others: a PEER holds records and sits in routing tables, a CLIENT only asks."""

    PEER = "peer"
    CLIENT = "client"


class Mapping(enum.Enum):
    """How our address is translated (RFC 5780 §4.3): not at all, to one outer address for all, to one for each, or not known."""

    NONE = "no NAT"
    ENDPOINT_INDEPENDENT = "endpoint-independent: everybody sees one outer address"
    DEPENDENT = "address-dependent: others see different outer addresses"
    UNKNOWN = "not known yet"


class Filtering(enum.Enum):
    """Who may send to us unasked (RFC 5780 §4.4): anybody, hosts that we sent to, or only their very ports."""

    ENDPOINT_INDEPENDENT = "endpoint-independent: anybody gets through"
    ADDRESS_DEPENDENT = "address-dependent: hosts get through that we sent to"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent: only ports get through that we sent to"
    UNKNOWN = "not known yet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known now. `address` is the one that most see, `since` (steady seconds) is when the role became what it is."""

    role: Role
    mapping: Mapping
    filtering: Filtering
    address: Address | None
    proved: bool
    since: float


@dataclass(slots=True)
class _Vote:
    host: str
    seen: Address
    at: float


class Reachability:
    """The evidence, and in `verdict` what it amounts to; times are steady seconds. `forced` overrides the role, not the facts."""

    __slots__ = (
        "_early", "_elsewhere_silent", "_forced", "_good_until", "_heard", "_heard_elsewhere",
        "_is_elsewhere_promised", "_last_host", "_local", "_passes_elsewhere", "_probers", "_proved", "_refuted",
        "_seen", "_silent", "_suspect_since", "_votes", "is_client", "is_confined", "touched", "verdict"
    )  # fmt: skip

    def __init__(self, now: float, forced: Role | None = None) -> None:
        self.touched = Touched()
        self._forced = forced
        self.is_confined = False
        self._local: tuple[Address, ...] = ()
        self._votes: dict[bytes, _Vote] = {}
        self._seen: set[Address] = set()  # what all votes say
        self._last_host = ""  # that cast a vote
        self._suspect_since: float | None = None
        self._good_until = now
        self._proved = self._refuted = False
        self._silent = self._elsewhere_silent = 0
        self._probers: tuple[str, ...] = ()
        self._is_elsewhere_promised = self._heard_elsewhere = self._passes_elsewhere = False
        self._heard: set[str] = set()
        self._early: list[Address] = []
        self.is_client = forced is Role.CLIENT  # whether others must not be sent to us
        self.verdict = Verdict(forced or Role.PEER, Mapping.UNKNOWN, Filtering.UNKNOWN, None, False, now)

    def is_behind_nat(self) -> bool:
        """Whether others count on an address that a NAT maps us to: a client keeps its flows to super-nodes warm instead."""
        return not self.is_client and self.verdict.mapping is not Mapping.NONE

    @property
    def is_suspicious(self) -> bool:
        """Whether somebody sees us at a new address, and others should be asked."""
        return self._suspect_since is not None

    @property
    def is_doubtful(self) -> bool:
        """Whether another try may tell more: nothing is proved or refuted, or the last try was silent."""
        return not (self._proved or self._refuted) or self._silent > 0

    @property
    def has_silent_probers(self) -> bool:
        """Whether all probers of the last try were silent."""
        return self._silent > 0

    @property
    def is_refuted(self) -> bool:
        """Whether probers stayed silent."""
        return self._refuted

    @property
    def is_waiting(self) -> bool:
        """Whether a probe that was promised in this try, and would tell something, has not come."""
        if self._probers:
            return not self._heard & set(self._probers)
        return self._is_elsewhere_promised and not self._heard_elsewhere

    def can_test(self, host: str) -> bool:
        """Whether a tester at this host says something of the address family that counts."""
        return not is_synthetic(host) and (not self._votes or (":" in host) == self._is_ipv6())

    # Votes: the mapping

    def note_local(self, addresses: Sequence[Address], now: float) -> None:
        """The addresses of our own sockets; wildcards say nothing and are passed over."""
        self._local = tuple(address for address in addresses if address[0] not in ("0.0.0.0", "::"))[:LOCAL_MAX]
        self._judge(now)

    def note_seen(self, voter: bytes, voter_host: str, seen: Address, now: float) -> bool:
        """The peer `voter` at this host has seen us at `seen`; whether this showed that our network has changed."""
        key = voter + b"6" if ":" in seen[0] else voter
        old = self._votes.get(key)
        if old is not None and old.seen == seen and now - old.at < FRESH_SECONDS and not self.is_suspicious:
            return False  # the usual case costs nothing
        if is_synthetic(voter_host) or is_synthetic(seen[0]):
            return False
        if self._says_nothing_new(voter_host, seen, now):
            self._put(key, _Vote(voter_host, seen, now))
            return False
        before, was_ipv6 = self.verdict, self._is_ipv6()
        if self._suspect_since is not None and now - self._suspect_since > FRESH_SECONDS:
            self._suspect_since = None  # nobody else has seen it
        if old is not None and self._suspect_since is None and self._has_moved(old.seen, seen):
            self._suspect_since, self._good_until = now, old.at
        self._put(key, _Vote(voter_host, seen, now))
        changed = self._suspect_since is not None and self._is_confirmed(self._suspect_since)
        self._judge(now)
        crossed = (before.mapping is Mapping.NONE) != (self.verdict.mapping is Mapping.NONE)
        if before.address is not None and (crossed or was_ipv6 != self._is_ipv6()):
            changed = True  # what was tested was another network
            self._forget_tests()
            self._judge(now)
        early, self._early = self._early, []
        for source in early:
            self._note_untouched(source, now)
        return changed

    def _put(self, key: bytes, vote: _Vote) -> None:
        votes = self._votes
        old = votes.pop(key, None)
        if old is None and len(votes) >= VOTES_MAX:
            old = votes.pop(next(iter(votes)))
        votes[key] = vote
        self._last_host = vote.host
        if old is None or old.seen != vote.seen:
            self._seen = {each.seen for each in votes.values()}

    def _says_nothing_new(self, host: str, seen: Address, now: float) -> bool:
        """Whether all agree with this vote, and a second host has said so lately if the verdict needs two: so nothing changes.

        The verdict was found from such votes: one fresh vote is enough for an address of our own, two hosts for a NAT.
        """
        if (
            self._early
            or self._suspect_since is not None
            or len(self._seen) != 1
            or seen not in self._seen
            or self.verdict.address != seen
        ):
            return False
        if self.verdict.mapping is Mapping.NONE:
            return True
        if self.verdict.mapping is not Mapping.ENDPOINT_INDEPENDENT or host == self._last_host:
            return False
        return now - next(reversed(self._votes.values())).at < VOTE_SECONDS

    def _has_moved(self, old: Address, seen: Address) -> bool:
        """Whether one voter's two views mean another network; an address-dependent NAT changes ports all the time."""
        return old[0] != seen[0] or (old != seen and self.verdict.mapping is not Mapping.DEPENDENT)

    def note_changed(self, now: float) -> None:
        """The network has changed: nothing that was found out before holds."""
        self._votes.clear()
        self._seen = set()
        self.touched.forget_before(now)
        self._forget_tests()
        self._judge(now)

    def _forget_tests(self) -> None:
        self._suspect_since = None
        self._proved = self._refuted = False
        self._silent = self._elsewhere_silent = 0
        self._probers, self._is_elsewhere_promised, self._passes_elsewhere = (), False, False

    def _is_confirmed(self, since: float) -> bool:
        """Decide a suspicion once CONFIRMING_HOSTS that have voted since agree; a lonely voter is believed."""
        fresh = {voter: vote for voter, vote in self._votes.items() if vote.at >= since}
        seen, hosts = _most({vote.host: vote.seen for vote in fresh.values()})
        if hosts < min(CONFIRMING_HOSTS, len({vote.host for vote in self._votes.values()})):
            return False
        self._suspect_since = None
        if seen == self.verdict.address:
            return False
        self._votes = fresh
        self._seen = {vote.seen for vote in fresh.values()}
        self.touched.forget_before(self._good_until)
        old = self.verdict.address
        if not self._refuted or seen is None or old is None or seen[0] != old[0]:
            self._forget_tests()  # else only a mapping has expired, and what let nobody in will let nobody in
        return True

    # Probes: the filtering

    def note_sent(self, destination: Address, now: float) -> None:
        """Something is sent there, so a NAT lets that host's datagrams in."""
        self.touched.note(destination, now)

    def note_unasked(self, source: Address, now: float) -> None:
        """Somebody's request came from there; before anybody has seen us, it is kept until it can be judged."""
        if self._proved or self.touched.has_host(source[0], now):
            return
        if not self._votes:
            self._early = [*self._early, source][:EARLY_MAX]
        else:
            self._note_untouched(source, now)

    def confine(self, is_confined: bool, now: float) -> None:
        """What we send goes through a gateway, all or what most have addresses for, so most do not reach us; or no more so."""
        self.is_confined = is_confined
        self._judge(now)

    def begin_try(self) -> None:
        """Somebody is asked to let us be probed: probes of this try may come before the answer."""
        self._heard, self._heard_elsewhere = set(), False
        self._probers, self._is_elsewhere_promised = (), False

    def note_promised(self, probers: Iterable[str], is_elsewhere: bool, now: float) -> None:
        """These hosts were asked to probe us, and the tester itself from another port; a host sent to before proves nothing."""
        hosts = tuple(dict.fromkeys(probers))[:PROBERS_MAX]
        self._probers = tuple(host for host in hosts if host in self._heard or self._is_fair(host, now))
        self._is_elsewhere_promised = is_elsewhere

    def note_probe(self, source: Address, now: float) -> None:
        """A probe with the token of a test of ours came from there."""
        if not self.can_test(source[0]):
            return
        if not self.touched.has_host(source[0], now):
            self._heard.add(source[0])
            self._note_untouched(source, now)
        elif not self.touched.has_address(source, now):
            self._heard_elsewhere = self._passes_elsewhere = True
            self._elsewhere_silent = 0
            self._judge(now)

    def end_try(self, now: float) -> None:
        """All probes of a try should have come by now."""
        if self._heard & set(self._probers):
            self._silent = 0
        elif any(self._is_fair(host, now) for host in self._probers):
            self._silent += 1
        if self._silent >= (SILENT_TRIES_NEEDED_WHEN_PROVED if self._proved else SILENT_TRIES_NEEDED):
            self._proved, self._refuted, self._silent = False, True, 0
        if self._is_elsewhere_promised and not self._heard_elsewhere:
            self._elsewhere_silent += 1
        self.begin_try()
        self._judge(now)

    def _note_untouched(self, source: Address, now: float) -> None:
        if self._counts(source):
            self._proved, self._refuted, self._silent = True, False, 0
            self._judge(now)

    def _is_fair(self, host: str, now: float) -> bool:
        return self._counts((host, 1)) and not self.touched.has_host(host, now)

    def _counts(self, source: Address) -> bool:
        """Whether what comes from there says anything about whether the world can reach us."""
        if not self.can_test(source[0]):
            return False
        address = self.verdict.address
        if address is None or self.verdict.mapping is Mapping.NONE:
            return True
        if (network_of(address[0]) is None) != (network_of(source[0]) is None):
            return False  # a neighbour in a private network says nothing about the public one
        return not any(_is_near(host, source[0]) for host, _port in self._local)

    # The verdict

    def _is_ipv6(self) -> bool:
        return all(":" in vote.seen[0] for vote in self._votes.values())

    def _judge(self, now: float) -> None:
        mapping, address = self._find_mapping(now)
        if self.is_confined:
            role = Role.CLIENT
        elif self._forced is not None:
            role = self._forced
        elif self._proved or self._refuted:
            role = Role.PEER if self._proved else Role.CLIENT
        elif address is None:
            role = self.verdict.role  # nobody has seen us: a PEER at first, later what we were before
        else:
            is_open = self._find_filtering() is not Filtering.ADDRESS_AND_PORT_DEPENDENT
            role = Role.PEER if mapping is Mapping.NONE and is_open else Role.CLIENT
        since = self.verdict.since if role is self.verdict.role else now
        verdict = Verdict(role, mapping, self._find_filtering(), address, self._proved, since)
        if verdict != self.verdict:
            self.verdict = verdict
            self.is_client = role is Role.CLIENT

    def _find_filtering(self) -> Filtering:
        if self._proved:
            return Filtering.ENDPOINT_INDEPENDENT
        if self._elsewhere_silent >= ELSEWHERE_SILENT_NEEDED:
            return Filtering.ADDRESS_AND_PORT_DEPENDENT
        return Filtering.ADDRESS_DEPENDENT if self._refuted and self._passes_elsewhere else Filtering.UNKNOWN

    def _find_mapping(self, now: float) -> tuple[Mapping, Address | None]:
        ipv6 = self._is_ipv6()
        votes = [
            vote for vote in self._votes.values() if (":" in vote.seen[0]) == ipv6 and now - vote.at < VOTE_SECONDS
        ]
        inside = {vote.host: vote.seen for vote in votes if vote.seen in self._local}
        outside = {vote.host: vote.seen for vote in votes if vote.seen not in self._local}
        if not inside and not outside:
            return (self.verdict.mapping, self.verdict.address) if self._votes else (Mapping.UNKNOWN, None)
        if inside and len(outside) < CONFIRMING_HOSTS and len(outside) < len(inside):
            return Mapping.NONE, _most(inside)[0]
        address, agreeing = _most(outside or inside)
        if not outside:
            return Mapping.NONE, address
        if len(outside) < CONFIRMING_HOSTS:
            return Mapping.UNKNOWN, address
        independent = 2 * agreeing > len(outside)
        return (Mapping.ENDPOINT_INDEPENDENT if independent else Mapping.DEPENDENT), address


def is_news(before: Verdict, after: Verdict) -> bool:
    """Whether a verdict says more than the time; where the addresses depend on who looks, another port is no news."""
    old, new = before.address, after.address
    if (
        after.mapping is before.mapping is Mapping.DEPENDENT
        and old is not None
        and new is not None
        and old[0] == new[0]
    ):
        old = new
    return replace(before, since=after.since, address=old) != after


def _most(votes: dict[str, Address]) -> tuple[Address | None, int]:
    """The address that most hosts have seen, and how many have."""
    best = Counter(votes.values()).most_common(1)
    return best[0] if best else (None, 0)


def _is_near(host: str, other: str) -> bool:
    """Whether two hosts are in one /24, or one /64."""
    if (":" in host) != (":" in other):
        return False
    separator, parts = (":", 4) if ":" in host else (".", 3)
    return host.split(separator)[:parts] == other.split(separator)[:parts]
