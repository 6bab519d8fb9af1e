"""What an operator must hear of: guessers, scanners, refused toll fraud. Counted, kept in short, logged once for each burst.

Whoever refuses something notes it here; `p2psip status` shows it. All bounded, since it is strangers who fill it.
"""

import logging
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Any

RECENT_MAX = 64
KINDS_MAX = 32
TEXT_LETTERS_MAX = 160
BURST_SECONDS = 300.0
LOGGED_PER_MINUTE_MAX = 20
OTHER_KINDS = "other"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Incident:
    """What one source did: `count` times from `first` to `last` (unix seconds), in the words of the latest time."""

    kind: str
    who: str
    words: str
    first: float
    last: float
    count: int = 0


class Incidents:
    """The latest incidents, and how many of each kind there were since the start."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._recent: OrderedDict[tuple[str, str], Incident] = OrderedDict()
        self._logged: deque[float] = deque(maxlen=LOGGED_PER_MINUTE_MAX)

    def __len__(self) -> int:
        return len(self._recent)

    def note(self, kind: str, who: str, words: str, unix: float) -> None:
        """Something of `kind` (a few lower-case words) was refused to `who` (a host, an address); `words` say what and why.

        The same kind from the same source within BURST_SECONDS of the last time is one burst.
        """
        kind, who, words = (text[:TEXT_LETTERS_MAX] for text in (kind, who, words))
        if kind not in self.counts and len(self.counts) >= KINDS_MAX:
            kind = OTHER_KINDS
        self.counts[kind] += 1
        incident = self._recent.pop((kind, who), None)
        if incident is None or abs(unix - incident.last) > BURST_SECONDS:
            incident = Incident(kind, who, words, unix, unix)
            self._log_unless_flooded(incident, unix)
        incident.count += 1
        incident.last, incident.words = unix, words
        self._recent[kind, who] = incident
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def as_json(self) -> dict[str, Any]:
        """`counts` by kind since the start, and `recent`, the latest first."""
        recent = [
            {"kind": i.kind, "who": i.who, "words": i.words, "first": i.first, "last": i.last, "count": i.count}
            for i in reversed(self._recent.values())
        ]
        return {"counts": dict(self.counts), "recent": recent}

    def _log_unless_flooded(self, incident: Incident, unix: float) -> None:
        """A flood from many (or invented) sources must not fill the disk either."""
        if len(self._logged) == LOGGED_PER_MINUTE_MAX and 0 <= unix - self._logged[0] < 60:
            return
        self._logged.append(unix)
        _log.warning("%s by %s: %s", incident.kind, incident.who, incident.words)
