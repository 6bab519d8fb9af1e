"""Questions to DNS servers over UDP, and over TCP where an answer was cut (RFC 1035, RFC 7766); the shell of `p2psip.naming`.

Servers are recursive resolvers that the machine's owner trusts: those of the settings, else of /etc/resolv.conf. Each query
has an identifier of ours and a source port of the system's, both drawn (RFC 5452 §9); what does not fit is passed over.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.inet
import dns.message
import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address, address_text
from p2psip.naming.cache import Cache
from p2psip.naming.messages import Message, answer_of, bogus, is_server_failure, is_without_edns, query
from p2psip.naming.questions import DNS_PORT, SERVERS_MAX, Answer, Inquiry, Question, T

ROUNDS = 2
TRY_SECONDS = 1.5
"""How long one server is waited for; in the second round twice as long."""
ASK_SECONDS_MAX = 8.0
HASTY_SECONDS = 0.5
SILENCE_SECONDS = 10.0
"""When no server has answered a question, others are asked hastily, and once, for so long: a caller waits for all of them."""
RELOAD_SECONDS = 30.0
QUERIES_AT_ONCE_MAX = 64
RESOLV_CONF = Path("/etc/resolv.conf")
RESOLV_CONF_OCTETS_MAX = 65_536

_log = logging.getLogger(__name__)


class DnsClock(Protocol):
    """The clock that time to live is measured by."""

    def now(self) -> float:
        """Steady seconds."""


class Exchange(Protocol):
    """One query to one server."""

    async def __call__(self, message: Message, server: Address) -> Message:
        """The response; OSError or dns.exception.DNSException when there is none. The caller limits the time."""


@dataclass(slots=True)
class _Underway:
    """A question that is being asked: whoever has it too waits for the one answer."""

    done: trio.Event = field(default_factory=trio.Event)
    answer: Answer | None = None


class DnsClient:
    """Asks questions, remembers the answers, and drives inquiries.

    `find_servers` is asked now and then for the servers of the moment: a machine that moves gets others.
    """

    def __init__(
        self,
        servers: Sequence[Address],
        *,
        clock: DnsClock,
        chance: Chance,
        exchange: Exchange | None = None,
        find_servers: Callable[[], Sequence[Address]] | None = None,
    ) -> None:
        self.servers = tuple(servers[:SERVERS_MAX])
        self.cache = Cache()
        self.sent = 0
        self._clock = clock
        self._chance = chance.child("dns")
        self._exchange = exchange or udp_then_tcp
        self._underway: dict[Question, _Underway] = {}
        self._find_servers = find_servers
        self._reload_at = self._silent_until = float("-inf")
        self._limit = trio.CapacityLimiter(QUERIES_AT_ONCE_MAX)

    async def ask(self, question: Question) -> Answer:
        """The answer from memory or from a server; whatever goes wrong is an outcome, nothing is raised."""
        answer = self.cache.get(question, self._clock.now())
        while answer is None:
            underway = self._underway.get(question)
            if underway is None:
                return await self._ask_first(question)
            await underway.done.wait()
            answer = underway.answer  # None: whoever asked was cancelled
        return answer

    async def run(self, inquiry: Inquiry[T]) -> T:
        """The result of `inquiry`; questions that it has at the same time are asked at the same time."""
        try:
            questions = next(inquiry)
            while True:
                questions = inquiry.send(await self._ask_all(questions))
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _ask_all(self, questions: tuple[Question, ...]) -> tuple[Answer, ...]:
        now = self._clock.now()
        answers = {question: self.cache.get(question, now) for question in questions}
        missing = [question for question, answer in answers.items() if answer is None]
        if len(missing) == 1:
            answers[missing[0]] = await self.ask(missing[0])
        elif missing:

            async def fill(question: Question) -> None:
                answers[question] = await self.ask(question)

            async with trio.open_nursery() as nursery:
                for question in missing:
                    nursery.start_soon(fill, question)
        return tuple([answer for question in questions if (answer := answers[question]) is not None])

    async def _ask_first(self, question: Question) -> Answer:
        underway = self._underway[question] = _Underway()
        try:
            async with self._limit:
                answer = await self._ask_servers(question)
            self.cache.put(question, answer, self._clock.now())
            underway.answer = answer
            return answer
        finally:
            del self._underway[question]
            underway.done.set()

    async def _ask_servers(self, question: Question) -> Answer:
        """Each server in turn, and all once more; the first definite answer ends it, or one that is bogus."""
        now = self._clock.now()
        self._reload(now)
        worst = Answer("timeout", words="no DNS server has answered" if self.servers else "no DNS server is known")
        waits = [HASTY_SECONDS] if now < self._silent_until else [TRY_SECONDS * 2**attempt for attempt in range(ROUNDS)]
        with trio.move_on_after(ASK_SECONDS_MAX):
            for seconds in waits:
                is_silence = False
                for server in self.servers:
                    answer = await self._ask_server(question, server, seconds)
                    if answer.outcome != "timeout":
                        self._silent_until = float("-inf")
                    if answer.is_definite or answer.outcome == "bogus":
                        return answer
                    is_silence = is_silence or answer.outcome == "timeout"
                    if answer.outcome != "timeout" or worst.outcome == "timeout":
                        worst = answer
                if not is_silence:
                    break  # all have answered, and would say the same once more
        if worst.outcome == "timeout" and now >= self._silent_until:
            self._silent_until = self._clock.now() + SILENCE_SECONDS
        return worst

    def _reload(self, now: float) -> None:
        if self._find_servers is None or now < self._reload_at:
            return
        found = tuple(self._find_servers()[:SERVERS_MAX])
        self._reload_at = now + RELOAD_SECONDS
        if found != self.servers:
            self.servers = found
            self.cache.clear()
            self._silent_until = float("-inf")

    async def _ask_server(self, question: Question, server: Address, seconds: float) -> Answer:
        place = address_text(server)
        try:
            with trio.fail_after(seconds):
                message = await self._send(question, server)
                if is_without_edns(message):
                    message = await self._send(question, server, extended=False)
                answer = answer_of(question, message)
                if is_server_failure(message) and answer.outcome != "bogus":
                    answer = await self._look_behind(question, server, answer)
        except trio.TooSlowError:
            return Answer("timeout", words=f"{place} has not answered for {seconds:g} s")
        except OSError as error:
            return Answer("timeout", words=f"{place} cannot be reached: {error.strerror or error}")
        except (dns.exception.DNSException, trio.BrokenResourceError, EOFError, ValueError) as error:
            return Answer("unreadable", words=f"{place} answers what cannot be read ({type(error).__name__})")
        if answer.is_definite or answer.outcome == "bogus":
            return answer
        return Answer(answer.outcome, words=f"{place}: {answer.words}")

    async def _look_behind(self, question: Question, server: Address, failure: Answer) -> Answer:
        """With checking disabled there is data: then it was DNSSEC that failed (RFC 4035 §3.2.2, §5.5)."""
        message = await self._send(question, server, checking_disabled=True)
        return bogus(failure) if answer_of(question, message).is_definite else failure

    async def _send(
        self, question: Question, server: Address, *, checking_disabled: bool = False, extended: bool = True
    ) -> Message:
        self.sent += 1
        identifier = self._chance.integer(16)
        message = query(question, identifier, checking_disabled=checking_disabled, extended=extended)
        return await self._exchange(message, server)


async def udp_then_tcp(message: Message, server: Address) -> Message:
    """Over UDP from a port of its own; over TCP if the response was cut. Datagrams that do not fit are passed over."""
    host, port = server
    backend = dns.asyncbackend.get_backend("trio")
    try:
        return await dns.asyncquery.udp(
            message,
            host,
            port=port,
            backend=backend,
            ignore_unexpected=True,
            ignore_errors=True,
            raise_on_truncation=True,
        )
    except dns.message.Truncated:
        return await dns.asyncquery.tcp(message, host, port=port, backend=backend)


def system_servers(path: Path = RESOLV_CONF) -> list[Address]:
    """The name servers of resolv.conf(5); the machine itself where none is named, as the C library has it."""
    try:
        text = path.read_bytes()[:RESOLV_CONF_OCTETS_MAX].decode("utf-8", "replace")
    except OSError as error:
        _log.warning("%s cannot be read (%s): no DNS server is known", path, error.strerror)
        return []
    lines = [line.split() for line in text.splitlines()]
    named = [words[1] for words in lines if len(words) >= 2 and words[0] == "nameserver"]
    hosts = [host for host in named if dns.inet.is_address(host)]
    return [(host, DNS_PORT) for host in hosts[:SERVERS_MAX]] or [("127.0.0.1", DNS_PORT)]
