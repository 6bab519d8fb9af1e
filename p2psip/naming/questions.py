"""Questions to the DNS and what can come of them, as values; and the form of every inquiry of this package.

An inquiry is a state machine without input or output of its own, written as a generator: it yields questions that may be
asked at the same time, takes their answers in the same order, and returns its result (`run_inquiry` drives one by hand).
"""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

T = TypeVar("T")

Kind = Literal["NAPTR", "SRV", "A", "AAAA"]
Outcome = Literal["found", "no such name", "no data", "timeout", "refused", "lame", "bogus", "failed", "unreadable"]

DNS_PORT = 53
SERVERS_MAX = 4
NAME_OCTETS_MAX = 255  # RFC 1035 §2.3.4
LABEL_OCTETS_MAX = 63
QUESTIONS_AT_ONCE_MAX = 32
DEFINITE: frozenset[Outcome] = frozenset({"found", "no such name", "no data"})
"""Outcomes that the DNS itself answered; with all others, nobody knows what is there."""

_LABEL = re.compile(rf"[A-Za-z0-9_-]{{1,{LABEL_OCTETS_MAX}}}")


@dataclass(frozen=True, slots=True)
class Question:
    """One name and one type of record. `name` is in presentation form, without the final dot, in lower case."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (RFC 3403 §4.1); strings as Latin-1, so that no byte is lost. `replacement` is "" for the root."""

    order: int
    preference: int
    flags: str
    services: str
    regexp: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (RFC 2782). `target` is "" for the root, which says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question: records of its kind (texts of addresses for A and AAAA), and for how many seconds it holds.

    `words` say more where something went wrong, for people. `secure` is set where the resolver says that it has validated
    the answer (AD, RFC 4035 §3.2.3). `cached` is set where it came from memory.
    """

    outcome: Outcome
    naptrs: tuple[Naptr, ...] = ()
    srvs: tuple[Srv, ...] = ()
    addresses: tuple[str, ...] = ()
    ttl_seconds: float = 0.0
    words: str = ""
    secure: bool = False
    cached: bool = False

    @property
    def is_definite(self) -> bool:
        """Whether the DNS answered, be it that there is nothing."""
        return self.outcome in DEFINITE

    def __str__(self) -> str:
        text = f"{self.outcome} ({self.words})" if self.words else self.outcome
        return text + ", validated" * self.secure + ", from memory" * self.cached


Inquiry: TypeAlias = Generator[tuple[Question, ...], tuple[Answer, ...], T]


def run_inquiry(inquiry: Inquiry[T], ask: Callable[[Question], Answer]) -> T:
    """The result of `inquiry` when every question is answered by `ask`; for tests and for answers at hand."""
    try:
        questions = next(inquiry)
        while True:
            questions = inquiry.send(tuple([ask(question) for question in questions]))
    except StopIteration as stop:
        result: T = stop.value
        return result


def is_host_name(name: str) -> bool:
    """Whether `name` can be asked for: labels of letters, digits, hyphens and underscores, within the DNS's lengths."""
    return 0 < len(name) <= NAME_OCTETS_MAX - 2 and all(_LABEL.fullmatch(label) for label in name.split("."))
