"""Whatever arrives, signed or not: an answer or none, never an exception, and tables that fit together."""

from hypothesis import given, settings
from hypothesis import strategies as st

from media.turn import messages
from media.turn.messages import attribute
from media.turn.refusal import REASONS
from tests.media.turn.world import ALICE, PEER, UDP, Client, World, family, lifetime, peer_attributes

KINDS = (
    *(messages.CHANNEL_NUMBER, messages.LIFETIME, messages.XOR_PEER_ADDRESS, messages.DATA_VALUE, messages.EVEN_PORT),
    *(messages.REQUESTED_ADDRESS_FAMILY, messages.ADDITIONAL_ADDRESS_FAMILY, messages.REQUESTED_TRANSPORT),
    *(messages.DONT_FRAGMENT, messages.RESERVATION_TOKEN, messages.USERNAME, messages.NONCE, messages.PRIORITY, 0x7FFE),
)
METHODS = (messages.ALLOCATE, messages.REFRESH, messages.CREATE_PERMISSION, messages.CHANNEL_BIND)
TRANSACTION = b"0123456789ab"

values = st.one_of(
    st.binary(max_size=24),
    st.sampled_from(
        [bytes(4), b"\x11\0\0\0", b"\x02\0\0\0", b"\x01\0\0\0", b"\x40\0\0\0", b"\0\0\x02\x58", b"\x80", b"\0"]
    ),
    st.sampled_from([peer_attributes([peer], TRANSACTION)[4:] for peer in (PEER, ("10.0.0.1", 1), ("2001:db8::1", 1))]),
)
bodies = st.lists(st.tuples(st.sampled_from(KINDS), values), max_size=6).map(
    lambda parts: b"".join(attribute(kind, value) for kind, value in parts)
)
requests = st.tuples(
    st.sampled_from(METHODS), st.one_of(bodies, bodies.map(lambda body: UDP + body)), st.sampled_from([0.0, 1.0, 301.0])
)


def _check(world: World) -> None:
    """The tables fit together, and the quotas count what there is."""
    allocations = world.tables.allocations
    reserved = {each.relay.handle for each in world.core.allocations._reservations.values()}
    handles = {relay.handle for each in allocations.values() for relay in each.relays.values()}
    assert handles | reserved == set(world.relays.open)
    assert handles == set(world.relays.assigned)
    assert world.core.allocations.in_use == len(world.relays.open)
    for allocation in allocations.values():
        assert allocation.relays
        assert allocation.next_expiry() > world.now
        assert {peer: number.to_bytes(2, "big") for number, peer in allocation.channels_by_number.items()} == (
            allocation.headers_by_peer
        )
        assert allocation.channel_expiries.keys() == allocation.channels_by_number.keys()
        assert len(allocation.permissions) <= world.settings.permissions_max
    assert (world.core.poll_timeout() is None) == (not allocations and not reserved)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), requests), max_size=12))
def test_signed_requests_in_any_order_keep_the_tables_in_order(
    steps: list[tuple[int, tuple[int, bytes, float]]],
) -> None:
    world = World(allocations_per_user_max=2)
    clients = [Client(world, (ALICE[0], port), owner=f"{port % 2:040}") for port in (1, 2, 3)]
    for number, (method, body, seconds) in steps:
        world.pass_time(seconds)
        client = clients[number]
        if not client.nonce:
            client.learn_nonce()
        answer = client.send(client.request(method, body, TRANSACTION))
        assert answer is not None
        assert answer.status == 200 or answer.status in REASONS
        if answer.status == 438:
            client.nonce = answer.message.attributes[messages.NONCE]
        _check(world)
    world.pass_time(4_000)
    _check(world)
    assert world.relays.open == {}


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=120), method=st.integers(0, 15), kind=st.sampled_from([0x000, 0x010, 0x100, 0x110]))
def test_arbitrary_bytes_of_strangers_and_of_clients(data: bytes, method: int, kind: int) -> None:
    world = World()
    alice = Client(world)
    alice.allocate()
    alice.permit(PEER)
    sizes = world.sizes()
    framed = messages.write(kind, method, TRANSACTION, data + bytes(-len(data) & 3), None)
    for each in (data, framed):
        for source in (ALICE, ("192.0.2.66", 6)):
            answer = world.receive(each, source)
            assert answer is None or len(answer) <= 3 * len(each)
    assert world.sizes() == sizes


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 223), value=st.integers(0, 255))
def test_a_signed_request_with_one_byte_changed_is_not_believed(position: int, value: int) -> None:
    world = World()
    alice = Client(world)
    alice.learn_nonce()
    body = UDP + lifetime(1_200) + family(messages.REQUESTED_ADDRESS_FAMILY, 1)
    data = bytearray(alice.request(messages.ALLOCATE, body))
    position %= len(data)
    unchanged = data[position] == value
    data[position] = value
    world.receive(bytes(data), ALICE)
    assert (alice.allocation is not None) == unchanged
