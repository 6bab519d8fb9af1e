"""DTLS for SRTP keys: both roles, lost flights, wrong certificates, and what a hostile path can send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.dtls import (
    DATAGRAM_BYTES,
    DEADLINE_SECONDS,
    RESENDS_MAX,
    DtlsFailed,
    DtlsIdentity,
    DtlsTransport,
    Keys,
    State,
    is_fingerprint,
)
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import RemoteError
from tests.media.world import Host, World

A: Address = ("192.0.2.1", 4000)
B: Address = ("192.0.2.2", 5000)
ALICE, BOB, EVE = DtlsIdentity(1_700_000_000), DtlsIdentity(1_700_000_000), DtlsIdentity(1_700_000_000)


def two(seed: int, *, loss: float = 0.0) -> tuple[World, Host, Host, DtlsTransport, DtlsTransport]:
    """A client at A and a server at B, not yet started."""
    world = World(seed, loss=loss)
    client, server = DtlsTransport(ALICE), DtlsTransport(BOB)
    return world, world.add(client, A), world.add(server, B), client, server


def start(world: World, client: DtlsTransport, server: DtlsTransport) -> None:
    """Both begin at once, with the right fingerprints."""
    client.start(client=True, fingerprint=BOB.fingerprint, destination=B, now=world.now)
    server.start(client=False, fingerprint=ALICE.fingerprint, destination=A, now=world.now)


def keys(host: Host) -> Keys:
    """The host's only event: its keys."""
    ((_, event),) = host.events
    assert isinstance(event, Keys)
    return event


def test_both_sides_get_the_same_keys_crosswise() -> None:
    world, host_a, host_b, client, server = two(1)
    start(world, client, server)
    world.run(1.0)
    here, there = keys(host_a), keys(host_b)
    assert (here.local, here.remote) == (there.remote, there.local)
    assert here.local != here.remote
    assert here.profile == there.profile == "SRTP_AEAD_AES_128_GCM"
    assert len(here.local) == 16 + 12
    assert client.poll_timeout() is server.poll_timeout() is None


def test_the_keys_are_laid_out_as_rfc_5764_has_them() -> None:
    world, host_a, _, client, server = two(1)
    start(world, client, server)
    world.run(1.0)
    assert server._connection is not None
    material = server._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (16 + 12))
    client_key, server_key, client_salt, server_salt = material[:16], material[16:32], material[32:44], material[44:]
    assert keys(host_a).local == client_key + client_salt
    assert keys(host_a).remote == server_key + server_salt


def test_each_association_has_keys_of_its_own() -> None:
    found = set()
    for seed in range(2):
        world, host_a, _, client, server = two(seed)
        start(world, client, server)
        world.run(1.0)
        found.add(keys(host_a).local)
    assert len(found) == 2


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(10))
def test_lost_flights_are_sent_again(loss: float, seed: int) -> None:
    world, host_a, host_b, client, server = two(seed, loss=loss)
    start(world, client, server)
    world.run(DEADLINE_SECONDS, until=lambda: State.HANDSHAKE not in (client.state, server.state))
    assert keys(host_a).local == keys(host_b).remote


@pytest.mark.parametrize("lost", range(8))
def test_any_one_lost_datagram_costs_a_quarter_of_a_second_or_so(lost: int) -> None:
    world, host_a, host_b, client, server = two(3)
    count = 0

    def drop(_host: Host, data: bytes, _destination: Address) -> bytes | None:
        nonlocal count
        count += 1
        return None if count == lost + 1 else data

    world.tap = drop
    start(world, client, server)
    begun = world.now
    world.run(DEADLINE_SECONDS, until=lambda: bool(host_a.events and host_b.events))
    assert keys(host_a).local == keys(host_b).remote
    assert world.now - begun < 0.8


def test_a_server_that_starts_late_is_waited_for() -> None:
    world, host_a, _, client, server = two(4)
    client.start(client=True, fingerprint=BOB.fingerprint, destination=B, now=world.now)
    world.run(2.0)
    server.start(client=False, fingerprint=ALICE.fingerprint, destination=A, now=world.now)
    world.run(5.0)
    assert keys(host_a)


@pytest.mark.parametrize("client_is_false", [True, False])
def test_a_certificate_that_signalling_did_not_name_is_refused(client_is_false: bool) -> None:
    world = World(5)
    client = DtlsTransport(EVE if client_is_false else ALICE)
    server = DtlsTransport(BOB if client_is_false else EVE)
    host_a, host_b = world.add(client, A), world.add(server, B)
    start(world, client, server)
    world.run(DEADLINE_SECONDS + 1)
    deceived = host_b if client_is_false else host_a
    ((_, event),) = deceived.events
    assert event == DtlsFailed("the other side's DTLS certificate is not the one that its signalling named")


@pytest.mark.parametrize("both", [True, False])
def test_two_clients_or_two_servers_fail_and_say_so(both: bool) -> None:
    world, host_a, host_b, one, other = two(6)
    one.start(client=both, fingerprint=BOB.fingerprint, destination=B, now=world.now)
    other.start(client=both, fingerprint=ALICE.fingerprint, destination=A, now=world.now)
    world.run(2 * DEADLINE_SECONDS)
    for host in (host_a, host_b):
        ((when, event),) = host.events
        assert isinstance(event, DtlsFailed)
        assert event.reason.startswith("the DTLS handshake")
        assert when - 1_000.0 <= DEADLINE_SECONDS


def test_nobody_answers_and_the_deadline_says_so_after_a_bounded_number_of_datagrams() -> None:
    world, host_a, _, client, _ = two(7, loss=1.0)
    client.start(client=True, fingerprint=BOB.fingerprint, destination=B, now=world.now)
    world.run(60.0)
    ((when, event),) = host_a.events
    assert event == DtlsFailed("the DTLS handshake was not answered in time")
    assert when - 1_000.0 == pytest.approx(DEADLINE_SECONDS)
    assert world.sent <= RESENDS_MAX + 1
    assert client.poll_timeout() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha-256",
        "sha-1 " + ":".join(["AB"] * 20),
        "sha-256 " + ":".join(["AB"] * 31),
        "sha-256 " + ":".join(["AB"] * 33),
        "sha-256 " + ":".join(["XY"] * 32),
        "sha-256 " + "AB" * 32,
    ],
)
def test_a_fingerprint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RemoteError) as caught:
        is_fingerprint(text)
    assert caught.value.status == 488
    transport = DtlsTransport(ALICE)
    transport.start(client=True, fingerprint=text, destination=B, now=0.0)
    assert isinstance(transport.poll_output(), DtlsFailed)


def test_a_fingerprint_in_small_letters_is_the_same() -> None:
    world, host_a, _, client, server = two(8)
    client.start(client=True, fingerprint=BOB.fingerprint.lower(), destination=B, now=world.now)
    server.start(client=False, fingerprint=ALICE.fingerprint.replace("sha", "SHA"), destination=A, now=world.now)
    world.run(2.0)
    assert keys(host_a)


def test_datagrams_stay_within_their_bound() -> None:
    world, host_a, host_b, client, server = two(9)
    sizes: list[int] = []

    def measure(_host: Host, data: bytes, _destination: Address) -> bytes:
        sizes.append(len(data))
        return data

    world.tap = measure
    start(world, client, server)
    world.run(2.0)
    assert host_a.events
    assert host_b.events
    assert max(sizes) <= DATAGRAM_BYTES
    assert len(sizes) <= 8


def test_garbage_before_during_and_after_does_no_harm_and_gets_no_answer() -> None:
    world, host_a, host_b, client, server = two(10)
    chance = Chance.seeded(10)

    def flood() -> None:
        for number in range(300):
            head = b"\x16\xfe\xfd" if number % 3 else bytes([20 + number % 44])
            for transport in (client, server):
                transport.receive(head + chance.bytes(number), A, world.now)

    flood()
    start(world, client, server)
    world.run(0.02)
    flood()
    world.run(2.0)
    assert keys(host_a).local == keys(host_b).remote
    before = world.sent
    flood()
    world.run(2.0)
    assert client.state is server.state is State.ESTABLISHED
    assert world.sent - before <= RESENDS_MAX


def test_every_datagram_twice_and_late_does_no_harm() -> None:
    world, host_a, host_b, client, server = two(11)

    def twice(host: Host, data: bytes, _destination: Address) -> bytes:
        for delay in (0.06, 0.4, 3.0):
            world.inject(host_b if host is host_a else host_a, data, A if host is host_a else B, delay)
        return data

    world.tap = twice
    start(world, client, server)
    world.run(60.0)
    assert keys(host_a).local == keys(host_b).remote
    assert world.sent <= 200


def test_application_data_of_the_peer_is_read_and_dropped() -> None:
    world, _, _, client, server = two(12)
    start(world, client, server)
    world.run(2.0)
    connection = client._connection
    assert connection is not None
    assert server._connection is not None
    for _ in range(200):
        connection.send(bytes(1_000))
        server.receive(connection.bio_read(2_000), A, world.now)
        assert server._connection.pending() == 0
    assert server.state is State.ESTABLISHED


def test_ice_may_move_the_association() -> None:
    client = DtlsTransport(ALICE)
    client.start(client=True, fingerprint=BOB.fingerprint, destination=B, now=0.0)
    first = client.poll_output()
    client.move(A)
    client.handle_timeout(0.25)
    again = client.poll_output()
    assert isinstance(first, Transmit)
    assert again == Transmit(first.data, A)


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_are_taken_in_silence(datagrams: list[bytes]) -> None:
    for client in (True, False):
        transport = DtlsTransport(ALICE)
        transport.start(client=client, fingerprint=BOB.fingerprint, destination=B, now=0.0)
        for data in datagrams:
            transport.receive(data, B, 0.0)
            transport.receive(b"\x16\xfe\xff" + data, B, 0.0)
