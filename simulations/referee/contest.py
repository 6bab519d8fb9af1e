"""What both sides play: who crashes, who looks whom up; and the score that each side keeps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from p2psip.base.chance import Chance

INTRODUCERS = 3
JOIN_SECONDS = 0.5
"""From one newcomer to the next."""

SETTLE_SECONDS = 60.0
"""After the last has joined, and again after the last has stored."""

QUIET_SECONDS = 60.0
"""So long is upkeep measured, before anybody crashes."""

LOOKUP_SECONDS = 1.0
"""From one lookup to the next."""

PATIENCE_SECONDS = 120.0
"""A lookup that takes longer has failed."""

PEERS_MAX = 1_000
LOOKUPS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Contest:
    """Nodes are numbered 1 to `peers`; node 0 introduces newcomers and never crashes. Each stores one key, named after it."""

    peers: int
    crashed: tuple[int, ...]
    lookups: tuple[tuple[int, int], ...]
    """(who asks, whom): both are alive."""

    absent: tuple[int, ...]
    """Who asks for a key that nobody has stored."""


@dataclass(slots=True)
class Tries:
    """What became of one kind of lookup. `requests`: sent by the asker in each; `seconds`: until each ended."""

    right: int = 0
    requests: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def note(self, right: bool, requests: int, seconds: float) -> None:
        """One more lookup has ended."""
        self.right += right
        self.requests.append(requests)
        self.seconds.append(seconds)


@dataclass(slots=True)
class Score:
    """How one side did. `stored` of the nodes could store; `upkeep` is in bytes per second and node while nobody asks."""

    stored: int = 0
    live: Tries = field(default_factory=Tries)
    absent: Tries = field(default_factory=Tries)
    upkeep: float = 0.0
    joining_bytes: float = 0.0
    """Sent by the whole overlay for each node, until all have joined and stored."""


def draw_contest(chance: Chance, *, peers: int, crash_share: float, lookups: int, absent: int) -> Contest:
    """The same for both sides. Raises ValueError when it is too small or too large to be played."""
    if not 2 <= peers <= PEERS_MAX:
        raise ValueError(f"peers must be 2 to {PEERS_MAX}")
    if not 0 <= lookups <= LOOKUPS_MAX or not 0 <= absent <= LOOKUPS_MAX:
        raise ValueError(f"lookups must be 0 to {LOOKUPS_MAX}")
    if not 0 <= crash_share <= 1:
        raise ValueError("crash_share must be 0 to 1")
    crashes = min(int(peers * crash_share), peers - 2)
    numbers = range(1, peers + 1)
    crashed = sorted(chance.child("crashes").sample(numbers, crashes))
    alive = [number for number in numbers if number not in set(crashed)]
    pairs = chance.child("pairs")
    return Contest(
        peers=peers,
        crashed=tuple(crashed),
        lookups=tuple(_pair(alive, pairs) for _ in range(lookups)),
        absent=tuple(pairs.choice(alive) for _ in range(absent)),
    )


def _pair(alive: Sequence[int], chance: Chance) -> tuple[int, int]:
    one, other = chance.sample(alive, 2)
    return one, other
