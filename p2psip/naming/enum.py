"""From a number to URIs: ENUM (RFC 6116), one tree at a time, as an inquiry.

What is kept of it: SIP URIs (RFC 3764) and tel URIs (RFC 4415, RFC 4769); other services of a number are passed over. The trail
says what became of each rule.
"""

from dataclasses import dataclass

from p2psip.base.errors import RemoteError
from p2psip.naming.naptr import enumservices, read_substitution, sorted_naptrs
from p2psip.naming.questions import Answer, Inquiry, Naptr, Outcome, Question, is_host_name

NON_TERMINAL_MAX = 5
"""Rules one after the other that only lead on to another name: RFC 6116 wants a limit, RFC 5483 takes more for a loop."""
QUESTIONS_MAX = 12
RESULTS_MAX = 16
TRAIL_LINES_MAX = 64

_SERVICES = frozenset(
    {"sip", "tel", "voice:tel", "voice:sip", "pstn:tel", "pstn:sip", "video:sip", "video:tel"}
)  # RFC 3764, 4415, 4769, 6118
_SCHEMES = ("sip:", "sips:", "tel:")


@dataclass(frozen=True, slots=True)
class Found:
    """One URI for a number, and the service that it stands for (`sip`, `pstn:tel`, ...)."""

    uri: str
    service: str


@dataclass(frozen=True, slots=True)
class Enumeration:
    """What a tree says of a number: URIs in the order in which they are to be tried, and how that came about.

    `outcome` is "found" where there are URIs; else what the DNS said of the number, "no data" where it has no rule for us.
    """

    name: str
    outcome: Outcome
    found: tuple[Found, ...]
    trail: tuple[str, ...]
    secure: bool = False
    words: str = ""


def enum_name(number: str, root: str) -> str:
    """The name of an E.164 number in the tree `root` (RFC 6116): the digits, last one first."""
    return ".".join([*reversed(number.removeprefix("+")), root])


def enumerate_number(number: str, root: str) -> Inquiry[Enumeration]:
    """Look `number` (E.164 with its plus sign) up in the tree `root`."""
    name = enum_name(number, root)
    search = _Search(number)
    answer = yield from search.visit(name, 0)
    found = tuple(search.found[:RESULTS_MAX])
    outcome: Outcome = "found" if found else "no data" if answer.outcome == "found" else answer.outcome
    if not found and search.failed is not None:
        outcome = search.failed.outcome
        answer = search.failed
    return Enumeration(name, outcome, found, tuple(search.trail), search.secure, "" if found else answer.words)


class _Search:
    """The rules of one number, followed depth first."""

    def __init__(self, number: str) -> None:
        self._number = number
        self._seen: set[str] = set()
        self.found: list[Found] = []
        self.trail: list[str] = []
        self.secure = True
        self.failed: Answer | None = None

    def visit(self, name: str, depth: int) -> Inquiry[Answer]:
        """Ask for the rules of `name` and follow them. The first order that leads anywhere ends it (RFC 3402 §3.3)."""
        self._seen.add(name)
        (answer,) = yield (Question(name, "NAPTR"),)
        self.secure = self.secure and answer.secure
        self._note(f"NAPTR of {name}: {answer}")
        if answer.outcome != "found":
            if not answer.is_definite and self.failed is None:
                self.failed = answer
            return answer
        order_taken: int | None = None
        for rule in sorted_naptrs(answer.naptrs):
            if order_taken is not None and rule.order != order_taken:
                self._note(f"rules of order {rule.order} and above: passed over, order {order_taken} led somewhere")
                break
            before = len(self.found)
            yield from self._apply(rule, depth)
            if len(self.found) > before:
                order_taken = rule.order
        return answer

    def _apply(self, rule: Naptr, depth: int) -> Inquiry[None]:
        place = f"rule {rule.order}/{rule.preference}"
        if rule.regexp and rule.replacement:
            self._note(f"{place}: passed over, it has both an expression and a replacement (RFC 3403 §4.1)")
        elif rule.flags.lower() == "u":
            self._terminal(rule, place)
        elif rule.flags == "":
            yield from self._non_terminal(rule, place, depth)
        else:
            self._note(f"{place}: passed over, flag {rule.flags[:8]!r} is not of ENUM")

    def _terminal(self, rule: Naptr, place: str) -> None:
        services = [service for service in enumservices(rule.services) if service in _SERVICES]
        if not services:
            self._note(f"{place}: passed over, service {rule.services[:40]!r} is no call")
            return
        try:
            uri = read_substitution(rule.regexp).apply(self._number)
        except RemoteError as error:
            self._note(f"{place}: passed over, {error}")
            return
        if not uri.lower().startswith(_SCHEMES) or not uri.isascii() or not uri.isprintable() or " " in uri:
            self._note(f"{place}: passed over, {uri[:60]!r} is no SIP or tel URI")
        elif any(uri == found.uri for found in self.found):
            self._note(f"{place}: {uri} again")
        else:
            self._note(f"{place}: {uri} ({services[0]})")
            self.found.append(Found(uri, services[0]))

    def _non_terminal(self, rule: Naptr, place: str, depth: int) -> Inquiry[None]:
        """A rule that leads to the rules of another name (RFC 6116)."""
        try:
            name = rule.replacement or read_substitution(rule.regexp).apply(self._number)
        except RemoteError as error:
            self._note(f"{place}: passed over, {error}")
            return
        name = name.lower().rstrip(".")
        if not is_host_name(name):
            self._note(f"{place}: passed over, {name[:60]!r} is no domain name")
        elif name in self._seen:
            self._note(f"{place}: passed over, it leads back to {name}: a loop")
        elif depth >= NON_TERMINAL_MAX:
            self._note(
                f"{place}: passed over, {NON_TERMINAL_MAX} rules have led on already and {name} would be another"
            )
        elif len(self._seen) >= QUESTIONS_MAX:
            self._note(f"{place}: passed over, {QUESTIONS_MAX} names have been asked for already")
        else:
            self._note(f"{place}: leads on to {name}")
            yield from self.visit(name, depth + 1)

    def _note(self, words: str) -> None:
        if len(self.trail) < TRAIL_LINES_MAX:
            self.trail.append(words)
