"""The parts of a village one by one: time, DTLS without OpenSSL, the LAN, bounds, and its scenario."""

import socket
from dataclasses import replace
from typing import Any

import pytest
import trio

from media.dtls import DtlsTransport, Keys, State
from p2psip.base.chance import Chance
from p2psip.base.core import Transmit
from simulations.checkers.phone_calls import PhoneCalls
from simulations.network.plain import PlainNetwork
from simulations.run import Run
from simulations.village import lan as lan_module
from simulations.village import village as village_module
from simulations.village.calls import ANSWERED, LOST, REFUSED, CallResult
from simulations.village.clock import Timeline
from simulations.village.dtls import StandInIdentity
from simulations.village.lan import Lan, listen
from simulations.village.village import Village
from simulations.village.wire import Wire

CALL = CallResult(
    t=1.0,
    caller="a",
    callee="b",
    nat="public",
    callee_nat="symmetric",
    outcome=ANSWERED,
    cause="",
    status=200,
    setup_seconds=0.1,
    answer_seconds=3.0,
    media_seconds=0.1,
    way="direct",
    relays=0,
    spoken=5,
    heard=5,
    heard_back=5,
    longest_gap=0.2,
    one_way=False,
)


def test_events_and_deadlines_happen_in_the_order_of_time() -> None:
    timeline, told = Timeline(), list[tuple[str, float]]()

    async def live() -> None:
        timeline.at(2.0, told.append, ("event", 2.0))
        timeline.at(1.0, lambda: timeline.at(1.5, told.append, ("event of an event", 1.5)))
        for seconds in (1.25, 2.5):
            await trio.sleep_until(seconds)
            told.append(("task", trio.current_time()))

    trio.run(live, clock=timeline)
    assert told == [("task", 1.25), ("event of an event", 1.5), ("event", 2.0), ("task", 2.5)]


def drain(transport: DtlsTransport) -> tuple[list[bytes], list[Keys]]:
    """Datagrams and keys that a transport has put out."""
    datagrams, keys = list[bytes](), list[Keys]()
    while (output := transport.poll_output()) is not None:
        if isinstance(output, Transmit):
            datagrams.append(output.data)
        elif isinstance(output, Keys):
            keys.append(output)
    return datagrams, keys


@pytest.mark.parametrize("lost", [0, 1])
def test_the_transport_of_production_gets_the_same_keys_on_both_sides(lost: int) -> None:
    identities = [StandInIdentity(Chance.seeded(name)) for name in (b"client", b"server")]
    client, server = (DtlsTransport(identity) for identity in identities)
    server_flight = server.answer(client.offer(), identities[0].fingerprint)
    client.take_answer(server_flight, identities[1].fingerprint)
    client.start(client=True, fingerprint=identities[1].fingerprint, destination=("192.0.2.1", 1), now=1.0)
    server.start(client=False, fingerprint=identities[0].fingerprint, destination=("192.0.2.2", 1), now=1.0)
    flight, (own,) = drain(client)
    now = 1.0
    for _ in range(lost):
        now = client.poll_timeout() or 0.0
        client.handle_timeout(now)
        flight = drain(client)[0]
    for data in flight:
        server.receive(data, ("192.0.2.1", 1), now)
    answer, (others,) = drain(server)
    for data in answer:
        client.receive(data, ("192.0.2.2", 1), now)
    assert (own.local, own.remote) == (others.remote, others.local)
    assert own.local != own.remote
    assert client.state is server.state is State.ESTABLISHED


def test_a_certificate_that_signalling_did_not_name_is_refused() -> None:
    alice, bob, eve = (StandInIdentity(Chance.seeded(name)) for name in (b"alice", b"bob", b"eve"))
    client, server = DtlsTransport(alice), DtlsTransport(eve)
    client.take_answer(server.answer(client.offer(), alice.fingerprint), bob.fingerprint)
    assert client.state is State.FAILED


def test_a_call_with_openssl_has_media_too() -> None:
    village = Village(2, real_dtls=True)
    village.add()
    alice, bob = village.add(at=1), village.add(at=1)
    village.call(alice, bob, 3, at=10)
    village.run(20)
    assert [(call.outcome, call.way) for call in village.calls] == [(ANSWERED, "direct")]


def test_the_lan_gives_an_address_once_and_hands_over_in_order() -> None:
    timeline = Timeline()
    lan = Lan(Wire(PlainNetwork(Chance.seeded(1)), timeline))
    heard: list[bytes] = []
    first, second = lan.bind(("192.168.1.2", 5060)), lan.bind(("192.168.1.20", 0))
    with pytest.raises(OSError, match="taken"):
        lan.bind(("192.168.1.2", 5060))
    listen(first, lambda data, source: heard.append(data) if source == second.getsockname() else None)

    async def live() -> None:
        second.sendto(b"one", ("192.168.1.2", 5060))
        second.sendto(b"two", ("192.168.1.2", 5060))
        second.sendto(b"nobody's", ("192.168.1.9", 5060))
        await trio.sleep(1)
        first.close()
        second.sendto(b"late", ("192.168.1.2", 5060))
        await trio.sleep(1)

    trio.run(live, clock=timeline)
    assert heard == [b"one", b"two"]
    assert isinstance(lan.bind(("192.168.1.2", 5060)).family, socket.AddressFamily)


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(village_module, "HOUSEHOLDS_MAX", 2)
    monkeypatch.setattr(village_module, "CALLS_MAX", 1)
    monkeypatch.setattr(lan_module, "PHONE_HOSTS_MAX", 1)
    village = Village(1)
    alice, bob = village.add(), village.add()
    with pytest.raises(AssertionError, match="HOUSEHOLDS_MAX"):
        village.add()
    village.call(alice, bob, 1, at=1)
    with pytest.raises(AssertionError, match="CALLS_MAX"):
        village.call(bob, alice, 1, at=1)
    alice.lan.phone_host()
    with pytest.raises(AssertionError, match="PHONE_HOSTS_MAX"):
        alice.lan.phone_host()


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([], "nobody called"),
        ([replace(CALL, outcome=LOST, cause="answered, but"), CALL], "not heard both ways"),
        ([replace(CALL, outcome=REFUSED)], "without a cause"),
        ([replace(CALL, outcome=REFUSED, cause="503"), replace(CALL, nat="firewall")], "50.0 % of 2 calls"),
        ([replace(CALL, outcome=REFUSED, cause="503")], "0.0 % of 1 calls"),
        ([CALL], ""),
    ],
)
def test_the_checker_names_what_is_wrong(calls: list[CallResult], words: str) -> None:
    run, checker = Run("village", 1), PhoneCalls()
    checker.start(run)
    for call in calls:
        node: Any = None
        checker.observe(node, call, call.t)
    checker.finish(2.0)
    assert words in checker.detail
    assert checker.passed == (not words)
