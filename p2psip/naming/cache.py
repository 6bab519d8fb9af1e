"""What the DNS said, for as long as it holds: positive answers, negative ones (RFC 2308) and failures (RFC 9520)."""

from collections import OrderedDict
from dataclasses import replace

from p2psip.naming.questions import Answer, Question

ENTRIES_MAX = 2_048
TTL_SECONDS_MAX = 86_400.0
NEGATIVE_SECONDS_MAX = 10_800.0  # RFC 2308 §5
FAILURE_SECONDS = 5.0  # RFC 9520 wants one second at least, five minutes at most


class Cache:
    """Answers by question. The one that was not used for longest goes first when there is no more room."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> Answer | None:
        """What is remembered, if it still holds at `now`; its `ttl_seconds` is what is left."""
        entry = self._entries.get(question)
        if entry is None or entry[0] <= now:
            self._entries.pop(question, None)
            self.misses += 1
            return None
        self._entries.move_to_end(question)
        self.hits += 1
        deadline, answer = entry
        return replace(answer, ttl_seconds=deadline - now, cached=True)

    def put(self, question: Question, answer: Answer, now: float) -> None:
        """Remember `answer` for its time to live, within our bounds; nothing that holds for no time."""
        seconds = _seconds(answer)
        if seconds <= 0:
            return
        self._entries[question] = (now + seconds, answer)
        self._entries.move_to_end(question)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything; when the network has changed, failures say nothing any more."""
        self._entries.clear()


def _seconds(answer: Answer) -> float:
    if answer.outcome == "found":
        return min(answer.ttl_seconds, TTL_SECONDS_MAX)
    if answer.is_definite:
        return min(answer.ttl_seconds, NEGATIVE_SECONDS_MAX)
    return FAILURE_SECONDS
