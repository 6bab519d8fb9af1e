"""The shell around DNS servers: order and repetition, time, memory, DNSSEC seen from outside, UDP and TCP."""

import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.naming.messages import Message
from p2psip.naming.questions import SERVERS_MAX, Question, run_inquiry
from p2psip.net.dns import (
    HASTY_SECONDS,
    QUERIES_AT_ONCE_MAX,
    RELOAD_SECONDS,
    ROUNDS,
    TRY_SECONDS,
    DnsClient,
    system_servers,
    udp_then_tcp,
)

FIRST, SECOND = ("192.0.2.1", 53), ("192.0.2.2", 53)
ASKED = Question("example.com", "A")

Reply = Callable[[Message, Address], Awaitable[Message]]


class TrioClock:
    """The clock of trio, which is a virtual one here."""

    def now(self) -> float:
        """Steady seconds."""
        return trio.current_time()


def found(message: Message, *, ttl: int = 60) -> Message:
    """A response with one address."""
    made = dns.message.make_response(message, recursion_available=True)
    made.answer.append(dns.rrset.from_text(message.question[0].name, ttl, "IN", "A", "192.0.2.9"))
    return dns.message.from_wire(made.to_wire())


def failed(message: Message, code: dns.rcode.Rcode) -> Message:
    """A response without data."""
    made = dns.message.make_response(message, recursion_available=True)
    made.set_rcode(code)
    return made


class Wire:
    """Servers of a test: what each of them does, and what it was sent."""

    def __init__(self, **servers: Reply) -> None:
        self.servers = {{"first": FIRST, "second": SECOND}[name]: reply for name, reply in servers.items()}
        self.sent: list[tuple[Message, Address]] = []

    async def __call__(self, message: Message, server: Address) -> Message:
        """One exchange."""
        self.sent.append((message, server))
        return await self.servers[server](message, server)

    def client(self) -> DnsClient:
        """A client that asks all of them."""
        return DnsClient(list(self.servers), clock=TrioClock(), chance=Chance.seeded(1), exchange=self)


async def good(message: Message, _server: Address) -> Message:
    return found(message)


async def silent(_message: Message, _server: Address) -> Message:
    await trio.sleep_forever()
    raise AssertionError


async def refusing(message: Message, _server: Address) -> Message:
    return failed(message, dns.rcode.REFUSED)


async def broken(_message: Message, _server: Address) -> Message:
    raise dns.exception.FormError


async def unreachable(_message: Message, _server: Address) -> Message:
    raise OSError(101, "Network is unreachable")


async def cut_off(_message: Message, _server: Address) -> Message:
    raise trio.BrokenResourceError


async def test_the_next_server_is_asked_when_one_is_silent_and_the_answer_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wire = Wire(first=silent, second=good)
    client = wire.client()
    answer = await client.ask(ASKED)
    assert (answer.addresses, trio.current_time()) == (("192.0.2.9",), TRY_SECONDS)
    assert (await client.ask(ASKED)).cached
    assert len(wire.sent) == 2
    await trio.sleep(61)
    assert not (await client.ask(ASKED)).cached


@pytest.mark.parametrize(
    ("reply", "outcome", "sent"),
    [
        (silent, "timeout", ROUNDS),
        (unreachable, "timeout", ROUNDS),
        (refusing, "refused", 1),
        (broken, "unreadable", 1),
        (cut_off, "unreadable", 1),
    ],
)
async def test_failures_are_told_apart(
    reply: Reply, outcome: str, sent: int, autojump_clock: trio.testing.MockClock
) -> None:
    wire = Wire(first=reply)
    answer = await wire.client().ask(ASKED)
    assert (answer.outcome, len(wire.sent)) == (outcome, sent)
    assert "192.0.2.1:53" in answer.words


async def test_a_refusal_says_more_than_silence(autojump_clock: trio.testing.MockClock) -> None:
    assert (await Wire(first=silent, second=refusing).client().ask(ASKED)).outcome == "refused"
    assert (await Wire(first=refusing, second=silent).client().ask(ASKED)).outcome == "refused"


async def test_failures_are_remembered_for_a_moment(autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire(first=refusing)
    client = wire.client()
    await client.ask(ASKED)
    assert (await client.ask(ASKED)).cached
    assert len(wire.sent) == 1


async def test_after_silence_others_are_asked_hastily_until_somebody_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wire = Wire(first=silent)
    client = wire.client()
    await client.ask(ASKED)
    start = trio.current_time()
    await client.ask(Question("other.example", "A"))
    assert trio.current_time() - start == HASTY_SECONDS
    wire.servers[FIRST] = good
    assert (await client.ask(Question("third.example", "A"))).outcome == "found"
    wire.servers[FIRST] = silent
    start = trio.current_time()
    await client.ask(Question("fourth.example", "A"))
    assert trio.current_time() - start > TRY_SECONDS


async def test_a_machine_that_moves_asks_its_new_servers(autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire(first=good, second=good)
    now = [FIRST]
    client = DnsClient([], clock=TrioClock(), chance=Chance.seeded(1), exchange=wire, find_servers=lambda: now)
    await client.ask(ASKED)
    now[:] = [SECOND]
    await trio.sleep(RELOAD_SECONDS)
    assert (await client.ask(Question("other.example", "A"))).outcome == "found"
    assert [server for _message, server in wire.sent] == [FIRST, SECOND]
    assert not (await client.ask(ASKED)).cached  # what the servers of another network said is forgotten


async def test_data_behind_a_server_failure_means_that_dnssec_failed() -> None:
    async def validating(message: Message, _server: Address) -> Message:
        return found(message) if message.flags & dns.flags.CD else failed(message, dns.rcode.SERVFAIL)

    async def failing(message: Message, _server: Address) -> Message:
        return failed(message, dns.rcode.SERVFAIL)

    wire = Wire(first=validating, second=good)
    assert (await wire.client().ask(ASKED)).outcome == "bogus"
    assert {server for _message, server in wire.sent} == {FIRST}  # nobody else is asked who may not validate
    assert (await Wire(first=failing).client().ask(ASKED)).outcome == "failed"


async def test_a_server_without_edns_is_asked_without() -> None:
    async def old(message: Message, _server: Address) -> Message:
        if message.edns >= 0:
            answer = failed(message, dns.rcode.FORMERR)
            answer.use_edns(False)
            return answer
        return found(message)

    assert (await Wire(first=old).client().ask(ASKED)).outcome == "found"


async def test_who_asks_the_same_waits_for_the_one_answer(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(message: Message, _server: Address) -> Message:
        await trio.sleep(1)
        return found(message)

    wire = Wire(first=slow)
    client = wire.client()
    answers = []

    async def ask() -> None:
        answers.append(await client.ask(ASKED))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
    assert [answer.addresses for answer in answers] == [("192.0.2.9",)] * 2
    assert len(wire.sent) == 1


async def test_who_waits_asks_anew_when_the_first_was_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire(first=silent)
    client = wire.client()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def first() -> None:
            with scope:
                await client.ask(ASKED)

        async def second() -> None:
            assert (await client.ask(ASKED)).outcome == "found"

        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(second)
        await trio.testing.wait_all_tasks_blocked()
        wire.servers[FIRST] = good
        scope.cancel()


async def test_no_more_than_so_many_queries_at_once(autojump_clock: trio.testing.MockClock) -> None:
    most = now = 0

    async def counting(message: Message, _server: Address) -> Message:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await trio.sleep(0.1)
        now -= 1
        return found(message)

    client = Wire(first=counting).client()
    async with trio.open_nursery() as nursery:
        for number in range(QUERIES_AT_ONCE_MAX + 1):
            nursery.start_soon(client.ask, Question(f"h{number}.example", "A"))
    assert most == QUERIES_AT_ONCE_MAX


async def test_identifiers_are_drawn() -> None:
    wire = Wire(first=good)
    client = wire.client()
    for number in range(20):
        await client.ask(Question(f"h{number}.example", "A"))
    assert len({message.id for message, _server in wire.sent}) > 15


async def test_an_inquiry_is_driven_as_by_hand() -> None:
    client = Wire(first=good).client()

    def inquiry():  # type: ignore[no-untyped-def]  # noqa: ANN202
        (first,) = yield (ASKED,)
        pair = yield (ASKED, Question("other.example", "A"))
        return first, *pair

    answers = await client.run(inquiry())
    assert [answer.outcome for answer in answers] == ["found"] * 3
    assert answers[1].cached
    assert run_inquiry(inquiry(), lambda _question: answers[0]) == (answers[0],) * 3


async def test_no_more_servers_than_the_bound_and_none_at_all() -> None:
    client = DnsClient([FIRST] * (SERVERS_MAX + 1), clock=TrioClock(), chance=Chance.seeded(1))
    assert len(client.servers) == SERVERS_MAX
    answer = await DnsClient([], clock=TrioClock(), chance=Chance.seeded(1)).ask(ASKED)
    assert (answer.outcome, answer.words) == ("timeout", "no DNS server is known")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_that_do_not_fit_are_passed_over_and_what_was_cut_is_fetched_over_tcp(host: str) -> None:
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((host, 0))
        server = sock.getsockname()[:2]
        (listener,) = await trio.open_tcp_listeners(server[1], host=host)

        async def datagrams() -> None:
            data, source = await sock.recvfrom(4_096)
            message = dns.message.from_wire(data)
            wrong = found(message)
            wrong.id ^= 1
            await sock.sendto(wrong.to_wire(), source)
            await sock.sendto(b"no message", source)
            cut = dns.message.make_response(message)
            cut.flags |= dns.flags.TC
            await sock.sendto(cut.to_wire(), source)

        async def stream(accepted: trio.SocketStream) -> None:
            data = await accepted.receive_some(4_096)
            wire = found(dns.message.from_wire(data[2:])).to_wire()
            await accepted.send_all(struct.pack("!H", len(wire)) + wire)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(datagrams)
            nursery.start_soon(trio.serve_listeners, stream, [listener])
            client = DnsClient([server], clock=TrioClock(), chance=Chance.seeded(1), exchange=udp_then_tcp)
            with trio.fail_after(5):
                assert (await client.ask(ASKED)).addresses == ("192.0.2.9",)
            nursery.cancel_scope.cancel()


def test_servers_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# comment\nsearch x\nnameserver 192.0.2.1\nnameserver ::1\nnameserver nonsense\nnameserver\n")
    assert system_servers(path) == [("192.0.2.1", 53), ("::1", 53)]
    path.write_text("search x\n")
    assert system_servers(path) == [("127.0.0.1", 53)]
    path.write_text("".join(f"nameserver 192.0.2.{number}\n" for number in range(SERVERS_MAX + 1)))
    assert len(system_servers(path)) == SERVERS_MAX
    assert system_servers(tmp_path / "missing") == []
