"""A relay as a weapon: who shows no good credentials gets little back, then nothing, and leaves nothing behind."""

from media.turn import messages
from media.turn.messages import attribute
from media.turn.quota import SOURCES_COUNTED, SourceBudgets
from media.turn.server import AMPLIFICATION_MAX
from media.turn.settings import TurnSettings
from tests.media.turn.world import PEER, UDP, Client, World, lifetime

EMPTY = (0, 0, 0, 0, 0, 0, 0)
HEADER_ONLY = messages.write(messages.REQUEST, messages.ALLOCATE, b"t" * 12, b"", None)
ALLOCATE = messages.write(messages.REQUEST, messages.ALLOCATE, b"t" * 12, UDP, None)
BINDING = messages.write(messages.REQUEST, messages.BINDING, b"t" * 12, b"", None)
UNKNOWN = messages.write(messages.REQUEST, messages.BINDING, b"t" * 12, attribute(0x7FFE, b"") * 20, None)


def _flood(world: World, requests: list[tuple[bytes, tuple[str, int]]]) -> int:
    """Bytes that came back; each answer within AMPLIFICATION_MAX times its request."""
    back = 0
    for data, source in requests:
        answer = world.receive(data, source)
        if answer is not None:
            assert len(answer) <= AMPLIFICATION_MAX * len(data)
            back += len(answer)
    return back


def test_no_answer_is_over_three_times_its_request_and_none_leaves_state() -> None:
    world = World()
    for number, data in enumerate((HEADER_ONLY, ALLOCATE, BINDING, UNKNOWN)):
        for host in (f"192.0.{number}.1", f"2001:db8:{number}::1"):
            assert _flood(world, [(data, (host, 5000))]) > 0 or data is HEADER_ONLY
    assert world.sizes() == EMPTY


def test_one_network_gets_its_budget_and_then_silence_while_others_are_served() -> None:
    settings = TurnSettings()
    world = World()
    answered = sum(
        world.receive(ALLOCATE, (f"192.0.2.{number % 256}", number)) is not None for number in range(1, 10_000)
    )
    assert answered == settings.answers_burst_per_source
    assert world.receive(BINDING, ("192.0.2.77", 1)) is None
    assert world.receive(ALLOCATE, ("198.51.100.77", 1)) is not None
    for number in range(5_000):
        world.receive(ALLOCATE, (f"2001:db8:0:1::{number:x}", 1))
    assert world.receive(ALLOCATE, ("2001:db8:0:1:ffff::", 1)) is None
    assert world.receive(ALLOCATE, ("2001:db8:0:2::", 1)) is not None
    assert world.sizes() == EMPTY
    world.pass_time(1.0)
    assert world.receive(ALLOCATE, ("192.0.2.77", 1)) is not None


def test_a_flood_from_everywhere_gets_the_budget_of_all() -> None:
    world = World()
    sources = [(f"198.{number >> 8}.{number & 255}.9", 1) for number in range(10_000)]
    answered = sum(world.receive(ALLOCATE, source) is not None for source in sources)
    assert answered == TurnSettings().answers_per_second_max
    assert world.sizes() == EMPTY


def test_a_user_with_good_credentials_is_served_beside_a_flood_of_its_network() -> None:
    world = World()
    alice = Client(world)
    alice.learn_nonce()
    _flood(world, [(ALLOCATE, ("192.0.2.66", number)) for number in range(1_000)])
    assert alice.allocate().status == 200
    assert alice.bind(0x4000).status == 200


def test_forged_and_expired_and_foreign_nonces_cost_no_state() -> None:
    world = World()
    alice, forger = Client(world), Client(world, ("192.0.2.66", 6))
    forger.password = "guess"
    forger.learn_nonce()
    expired = Client(world, ("192.0.2.67", 7), lifetime=-1)
    expired.learn_nonce()
    stolen = Client(world, ("198.51.100.9", 8))
    alice.learn_nonce()
    stolen.nonce = alice.nonce
    for _ in range(500):
        for client in (forger, expired, stolen):
            data = client.request(messages.ALLOCATE, UDP)
            answer = client.send(data)
            if answer is not None:
                assert answer.status in (401, 438)
                assert len(answer.raw) <= AMPLIFICATION_MAX * len(data)
    assert world.sizes() == EMPTY
    assert alice.allocate().status == 200


def test_a_request_replayed_from_elsewhere_or_later_is_worth_nothing() -> None:
    world = World()
    alice = Client(world)
    alice.learn_nonce()
    recorded = alice.request(messages.ALLOCATE, UDP)
    answer = alice.send(recorded)
    assert answer is not None
    assert answer.status == 200
    for source in (("203.0.113.66", alice.address[1]), (alice.address[0], 6666)):
        replayed = world.receive(recorded, source)
        assert replayed is not None
        assert messages.read(replayed).attributes[messages.ERROR_CODE][2:4] == bytes((4, 38))
    assert len(world.tables.allocations) == 1
    assert alice.refresh(lifetime(0)).status == 200
    world.pass_time(700)
    late = world.receive(recorded, alice.address)
    assert late is not None
    assert messages.read(late).attributes[messages.ERROR_CODE][2:4] == bytes((4, 38))
    assert world.tables.allocations == {}


def test_nonces_cannot_be_made_or_changed_by_others() -> None:
    world = World()
    alice = Client(world)
    alice.learn_nonce()
    good = alice.nonce
    for nonce in (b"", b"x" * 16, b"x" * 128, good[:-1] + b"~", good[:15] + b"\xff", bytes((good[0] ^ 1,)) + good[1:]):
        alice.nonce = nonce
        answer = alice.send(alice.request(messages.ALLOCATE, UDP))
        assert answer is not None
        assert answer.status == 438
    alice.nonce = good
    assert alice.allocate().status == 200


def test_indications_and_channel_data_of_strangers_are_nothing() -> None:
    world = World()
    stranger = Client(world, ("192.0.2.66", 6))
    stranger.indicate(b"into the blue", PEER)
    assert world.relays.sent == []
    assert world.sizes() == EMPTY


def test_a_user_with_too_many_requests_gets_silence_and_hurts_nobody() -> None:
    world = World()
    greedy, alice = Client(world, ("192.0.2.66", 6), owner="66" * 20), Client(world)
    greedy.learn_nonce()
    answered = sum(greedy.send(greedy.request(messages.REFRESH)) is not None for _ in range(1_000))
    assert answered == 2 * TurnSettings().requests_per_second_per_user_max
    assert alice.allocate().status == 200
    world.pass_time(1.0)
    assert greedy.allocate().status == 200


def test_users_without_allocations_are_forgotten() -> None:
    world = World(requests_per_second_per_user_max=1_000_000.0, answers_per_second_per_source=1e9)
    for number in range(1_500):
        client = Client(world, ("192.0.2.10", 1 + number), owner=f"{number:040x}")
        client.learn_nonce()
        assert client.refresh().status == 437
        world.pass_time(0.001)
    assert len(world.core.allocations.users) <= 1_024
    assert len(world.core._authentication._keys) <= 1_024
    world.pass_time(61)
    Client(world, ("192.0.2.10", 9999)).allocate()
    assert len(world.core.allocations.users) == 1


def test_the_budget_table_has_a_fixed_size() -> None:
    budgets = SourceBudgets(per_second=1.0, burst=2.0, total_per_second=1e9, key=b"k")
    for number in range(3 * SOURCES_COUNTED):
        budgets.spend(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(budgets._left) == len(budgets._at) == SOURCES_COUNTED


def test_a_challenge_with_a_long_realm_fits_for_clients_that_ask_with_little() -> None:
    """The ALLOCATE Allocate request has 28 bytes: a realm of 32 bytes still fits into three times that."""
    assert len(ALLOCATE) == 28
    for size, fits in ((32, True), (33, False)):
        core = World(realm="r" * size).core
        assert (core.receive(ALLOCATE, ("192.0.2.1", 1), 1.0, 1.0) is not None) is fits
