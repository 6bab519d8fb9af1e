"""Every request of RFC 8656 and every error code that it prescribes, played against the core."""

import pytest

from media.turn import messages
from media.turn.messages import attribute
from media.turn.server import CHANNEL_SECONDS, PERMISSION_SECONDS
from p2psip.base.grants import turn_password
from tests.media.turn.world import ALICE, PEER, SERVER_HOST, SERVER_PORT, TCP, Client, World, family, lifetime

REQUESTED, ADDITIONAL = messages.REQUESTED_ADDRESS_FAMILY, messages.ADDITIONAL_ADDRESS_FAMILY
EVEN, EVEN_AND_NEXT = attribute(messages.EVEN_PORT, b"\x00"), attribute(messages.EVEN_PORT, b"\x80")
DONT_FRAGMENT = attribute(messages.DONT_FRAGMENT, b"")
PEER_V6 = ("2001:db8::5", 9000)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Client:
    return Client(world)


def test_an_allocation_tells_relayed_and_mapped_address_and_lifetime(alice: Client) -> None:
    answer = alice.allocate()
    assert answer.status == 200
    assert answer.message.is_signed_with(alice.key)
    [relayed] = answer.addresses(messages.XOR_RELAYED_ADDRESS)
    assert relayed[0] == SERVER_HOST
    assert answer.addresses(messages.XOR_MAPPED_ADDRESS) == [ALICE]
    assert answer.number(messages.LIFETIME) == 600
    assert alice.allocation is not None


@pytest.mark.parametrize(("asked", "given"), [(0, 600), (10, 600), (600, 600), (1_000, 1_000), (9_999_999, 3_600)])
def test_a_lifetime_is_between_default_and_maximum(alice: Client, asked: int, given: int) -> None:
    assert alice.allocate(lifetime(asked)).number(messages.LIFETIME) == given


def test_a_retransmitted_allocate_gets_the_same_answer_and_no_second_allocation(alice: Client, world: World) -> None:
    first = alice.allocate(transaction=b"x" * 12)
    again = alice.allocate(transaction=b"x" * 12)
    assert first.raw == again.raw
    assert len(world.relays.open) == 1
    assert alice.allocate().status == 437


def test_an_allocation_ends_with_its_time_and_with_a_lifetime_of_0(alice: Client, world: World) -> None:
    alice.allocate()
    world.pass_time(599.9)
    assert alice.allocation is not None
    world.pass_time(0.2)
    assert alice.allocation is None
    assert world.relays.open == {}
    assert alice.refresh().status == 437
    alice.allocate()
    assert alice.refresh(lifetime(0)).number(messages.LIFETIME) == 0
    assert alice.allocation is None
    assert alice.refresh(lifetime(0)).status == 437
    assert world.core.poll_timeout() is None


def test_a_refresh_prolongs(alice: Client, world: World) -> None:
    alice.allocate()
    world.pass_time(500)
    assert alice.refresh(lifetime(1_200)).number(messages.LIFETIME) == 1_200
    world.pass_time(1_199)
    assert alice.allocation is not None
    world.pass_time(2)
    assert alice.allocation is None


def test_400_without_a_transport_and_442_for_another_than_udp(alice: Client) -> None:
    assert alice.ask(messages.ALLOCATE).status == 400
    assert alice.ask(messages.ALLOCATE, attribute(messages.REQUESTED_TRANSPORT, b"\x11")).status == 400
    assert alice.ask(messages.ALLOCATE, TCP).status == 442
    assert alice.allocation is None


def test_420_names_the_unknown_attributes(alice: Client) -> None:
    answer = alice.allocate(attribute(0x7FFE, b""), attribute(0x0003, b"1234"), attribute(0xFFFE, b"optional"))
    assert answer.status == 420
    assert answer.values(messages.UNKNOWN_ATTRIBUTES) == [b"\x7f\xfe\x00\x03"]
    assert alice.allocate(attribute(0xFFFE, b"optional")).status == 200


def test_dont_fragment_is_understood(alice: Client, world: World) -> None:
    assert alice.allocate(DONT_FRAGMENT).status == 200
    alice.permit(PEER)
    alice.indicate(b"whole", PEER, DONT_FRAGMENT)
    alice.indicate(b"any", PEER)
    assert [(data, whole) for _, data, _, whole in world.relays.sent] == [(b"whole", True), (b"any", False)]


@pytest.mark.parametrize(
    "parts",
    [
        (EVEN,),
        (family(REQUESTED, 1),),
        (family(ADDITIONAL, 2),),
    ],
)
def test_400_for_a_reservation_token_beside_a_choice(alice: Client, parts: tuple[bytes, ...]) -> None:
    assert alice.allocate(attribute(messages.RESERVATION_TOKEN, b"12345678"), *parts).status == 400


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((family(REQUESTED, 1), family(ADDITIONAL, 2)), 400),
        ((family(ADDITIONAL, 1),), 400),
        ((family(ADDITIONAL, 2), EVEN_AND_NEXT), 400),
        ((family(REQUESTED, 3),), 440),
        ((attribute(REQUESTED, b"\x01"),), 400),
        ((attribute(messages.RESERVATION_TOKEN, b"short"),), 400),
        ((attribute(messages.RESERVATION_TOKEN, b"12345678"),), 508),
        ((attribute(messages.LIFETIME, b"1"),), 400),
        ((attribute(messages.EVEN_PORT, b""),), 400),
    ],
)
def test_what_an_allocate_request_must_not_ask(alice: Client, parts: tuple[bytes, ...], status: int) -> None:
    assert alice.allocate(*parts).status == status
    assert alice.world.relays.open == {}


def test_families_as_asked_and_440_for_one_that_the_server_has_not() -> None:
    world = World()
    assert Client(world, ("192.0.2.1", 1)).allocate(family(REQUESTED, 1)).addresses(0x16)[0][0] == SERVER_HOST
    assert ":" in Client(world, ("192.0.2.1", 2)).allocate(family(REQUESTED, 2)).addresses(0x16)[0][0]
    only_v4, only_v6 = World(families=(4,)), World(families=(6,))
    assert Client(only_v4).allocate(family(REQUESTED, 2)).status == 440
    assert Client(only_v6).allocate().status == 440
    assert Client(only_v6).allocate(family(REQUESTED, 1)).status == 440
    assert Client(only_v6).allocate(family(REQUESTED, 2)).status == 200


def test_a_dual_allocation_and_its_parts(alice: Client, world: World) -> None:
    answer = alice.allocate(family(ADDITIONAL, 2))
    assert [":" in host for host, _ in answer.addresses(messages.XOR_RELAYED_ADDRESS)] == [False, True]
    assert alice.permit(PEER, PEER_V6).status == 200
    assert alice.bind(0x4001, PEER_V6).status == 200
    world.pass_time(200)
    assert alice.refresh(family(REQUESTED, 1), lifetime(1_800)).status == 200
    world.pass_time(401)
    assert alice.allocation is not None
    assert list(alice.allocation.relays) == [4]
    assert alice.allocation.channels_by_number == {}
    assert alice.permit(PEER_V6).status == 443
    assert alice.refresh(family(REQUESTED, 2)).status == 443
    assert alice.refresh(family(REQUESTED, 1), lifetime(0)).status == 200
    assert alice.allocation is None


@pytest.mark.parametrize(("families", "code"), [((4,), 440), ((4, 6), 508)])
def test_half_a_dual_allocation_says_why(families: tuple[int, ...], code: int) -> None:
    world = World(families=families)
    world.relays.missing.add(6)
    answer = Client(world).allocate(family(ADDITIONAL, 2))
    assert len(answer.addresses(messages.XOR_RELAYED_ADDRESS)) == 1
    [value] = answer.values(messages.ADDRESS_ERROR_CODE)
    assert (value[0], value[2] * 100 + value[3]) == (2, code)


def test_an_even_port_and_the_next_one_for_whoever_has_the_token(world: World) -> None:
    first, second = Client(world, ("192.0.2.1", 1)), Client(world, ("192.0.2.1", 2))
    answer = first.allocate(EVEN_AND_NEXT)
    [(_, port)] = answer.addresses(messages.XOR_RELAYED_ADDRESS)
    assert port % 2 == 0
    [token] = answer.values(messages.RESERVATION_TOKEN)
    thief = Client(world, ("192.0.2.9", 1), owner="ee" * 20)
    assert thief.allocate(attribute(messages.RESERVATION_TOKEN, token)).status == 508
    world.pass_time(30)
    answer = second.allocate(attribute(messages.RESERVATION_TOKEN, token))
    assert answer.addresses(messages.XOR_RELAYED_ADDRESS) == [(SERVER_HOST, port + 1)]
    assert second.allocation is not None
    third = Client(world, ("192.0.2.1", 3))
    assert third.allocate(attribute(messages.RESERVATION_TOKEN, token)).status == 508
    assert third.allocate(EVEN).addresses(messages.XOR_RELAYED_ADDRESS)[0][1] % 2 == 0


def test_a_reserved_port_is_given_back_after_a_minute(world: World, alice: Client) -> None:
    [token] = alice.allocate(EVEN_AND_NEXT).values(messages.RESERVATION_TOKEN)
    assert world.core.allocations.in_use == 2
    world.pass_time(61)
    assert world.core.allocations.in_use == len(world.relays.open) == 1
    late = Client(world, ("192.0.2.1", 2))
    assert late.allocate(attribute(messages.RESERVATION_TOKEN, token)).status == 508


def test_508_when_no_port_can_be_had(world: World, alice: Client) -> None:
    world.relays.missing.add(4)
    assert alice.allocate().status == alice.allocate(EVEN_AND_NEXT).status == 508


def test_486_for_one_allocation_more_than_a_user_may_have(world: World) -> None:
    most = world.settings.allocations_per_user_max
    for number in range(most):
        assert Client(world, ("192.0.2.1", number)).allocate().status == 200
    assert Client(world, ("192.0.2.1", 99)).allocate().status == 486
    assert Client(world, ("192.0.2.1", 98), owner="bb" * 20).allocate().status == 200


def test_508_for_one_allocation_more_than_the_server_has() -> None:
    world = World(allocations_max=2)
    for number in range(2):
        assert Client(world, ("192.0.2.1", number), owner=f"{number:040}").allocate().status == 200
    assert Client(world, ("192.0.2.1", 99), owner="cc" * 20).allocate().status == 508


def test_401_tells_realm_and_nonce_438_a_new_nonce(alice: Client, world: World) -> None:
    alice.learn_nonce()
    assert alice.allocate().status == 200
    world.pass_time(601)
    answer = alice.send(alice.request(messages.REFRESH))
    assert answer is not None
    assert answer.status == 438
    assert answer.message.attributes[messages.REALM] == b"example.org"
    alice.nonce = answer.message.attributes[messages.NONCE]
    assert alice.allocate().status == 200


@pytest.mark.parametrize("left_out", [messages.USERNAME, messages.REALM, messages.NONCE])
def test_400_for_integrity_without_all_that_belongs_to_it(alice: Client, left_out: int) -> None:
    alice.learn_nonce()
    values = {messages.USERNAME: alice.username.encode(), messages.REALM: b"example.org", messages.NONCE: alice.nonce}
    body = b"".join(attribute(kind, value) for kind, value in values.items() if kind != left_out)
    answer = alice.send(messages.write(messages.REQUEST, messages.ALLOCATE, alice.transaction(), body, alice.key))
    assert answer is not None
    assert answer.status == 400


def test_401_for_wrong_expired_and_strange_credentials(world: World) -> None:
    expired = Client(world, lifetime=0)
    assert expired.allocate().status == 401
    wrong = Client(world)
    wrong.password = "wrong"
    assert wrong.allocate().status == 401
    elsewhere = Client(world)
    elsewhere.realm = "example.net"
    assert elsewhere.allocate().status == 401
    for username in ("", "nobody", "x" * 500, "9999999999:é"):
        strange = Client(world)
        strange.username, strange.password = username, turn_password(b"the operator's secret", username)
        assert strange.allocate().status == 401
    assert world.sizes() == (0, 0, 0, 0, 0, 0, 0)


def test_credentials_end_in_the_life_of_an_allocation_and_new_ones_of_the_same_owner_go_on(world: World) -> None:
    alice = Client(world, lifetime=300)
    alice.allocate()
    world.pass_time(301)
    assert alice.refresh().status == 401
    renewed = Client(world)
    assert renewed.refresh().status == 200


def test_437_without_an_allocation_441_for_another_users(world: World, alice: Client) -> None:
    assert alice.refresh().status == alice.permit(PEER).status == alice.bind(0x4000).status == 437
    alice.allocate()
    mallory = Client(world, ALICE, owner="dd" * 20)
    assert mallory.refresh(lifetime(0)).status == 441
    assert mallory.permit(PEER).status == mallory.bind(0x4000).status == 441
    assert mallory.allocate().status == 437
    assert alice.allocation is not None


def test_permissions_last_300_seconds_and_are_refreshed(alice: Client, world: World) -> None:
    alice.allocate(lifetime(3_600))
    assert alice.permit(PEER, ("203.0.113.6", 0)).status == 200
    world.pass_time(PERMISSION_SECONDS - 1)
    assert alice.allocation is not None
    assert set(alice.allocation.permissions) == {"203.0.113.5", "203.0.113.6"}
    alice.permit(PEER)
    world.pass_time(2)
    assert set(alice.allocation.permissions) == {"203.0.113.5"}
    world.pass_time(PERMISSION_SECONDS)
    assert alice.allocation.permissions == {}


def test_a_permission_for_nobody_is_400_and_for_another_family_443(alice: Client) -> None:
    alice.allocate()
    assert alice.permit().status == 400
    assert alice.permit(PEER, PEER_V6).status == 443
    assert alice.bind(0x4000, PEER_V6).status == 443
    assert alice.allocation is not None
    assert alice.allocation.permissions == {}


def test_one_permission_and_one_channel_more_than_an_allocation_may_have() -> None:
    world = World(permissions_max=3, channels_max=2)
    alice = Client(world)
    alice.allocate()
    for number in range(3):
        assert alice.permit((f"203.0.113.{number}", 1)).status == 200
    assert alice.permit(("203.0.113.9", 1)).status == 508
    assert alice.permit(("203.0.113.1", 1)).status == 200
    for number in range(2):
        assert alice.bind(0x4000 + number, ("203.0.113.0", number + 1)).status == 200
    assert alice.bind(0x4002, ("203.0.113.0", 9)).status == 508
    assert alice.bind(0x4001, ("203.0.113.0", 2)).status == 200


def test_channels_last_600_seconds_and_bind_one_number_to_one_peer(alice: Client, world: World) -> None:
    alice.allocate(lifetime(3_600))
    assert alice.bind(0x4000).status == 200
    allocation = alice.allocation
    assert allocation is not None
    assert allocation.channels_by_number == {0x4000: PEER}
    assert allocation.headers_by_peer == {PEER: b"\x40\x00"}
    assert set(allocation.permissions) == {PEER[0]}
    assert alice.bind(0x4000, ("203.0.113.5", 9001)).status == 400
    assert alice.bind(0x4001, PEER).status == 400
    world.pass_time(CHANNEL_SECONDS - 1)
    assert alice.bind(0x4000).status == 200
    world.pass_time(CHANNEL_SECONDS - 1)
    assert allocation.channels_by_number == {0x4000: PEER}
    world.pass_time(2)
    assert allocation.channels_by_number == allocation.headers_by_peer == {}
    assert alice.bind(0x4001, PEER).status == 200


@pytest.mark.parametrize("number", [0, 0x3FFF, 0x5000, 0x7FFF, 0xFFFF])
def test_400_for_a_channel_number_out_of_range(alice: Client, number: int) -> None:
    alice.allocate()
    assert alice.bind(number).status == 400


def test_a_server_for_old_clients_takes_higher_channel_numbers() -> None:
    alice = Client(World(channel_last=0x7FFF))
    alice.allocate()
    assert alice.bind(0x7FFF).status == 200
    assert alice.bind(0x8000).status == 400


def test_a_channel_without_number_or_peer_is_400(alice: Client) -> None:
    alice.allocate()
    assert alice.ask(messages.CHANNEL_BIND, attribute(messages.CHANNEL_NUMBER, b"\x40\x00\x00\x00")).status == 400
    assert alice.ask(messages.CHANNEL_BIND, attribute(messages.CHANNEL_NUMBER, b"\x40\x00")).status == 400
    assert alice.ask(messages.CHANNEL_BIND).status == 400


@pytest.mark.parametrize(
    "host",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1"),
    ],
)
def test_403_for_peers_that_only_exist_where_the_server_stands(alice: Client, host: str) -> None:
    alice.allocate()
    assert alice.permit((host, 9)).status == alice.bind(0x4000, (host, 9)).status == 403
    assert alice.permit(PEER, (host, 9)).status == 403
    assert alice.allocation is not None
    assert alice.allocation.permissions == {}


def test_403_for_a_channel_to_the_server_itself(alice: Client) -> None:
    alice.allocate()
    assert alice.bind(0x4000, (SERVER_HOST, SERVER_PORT)).status == 403
    assert alice.bind(0x4000, (SERVER_HOST, 53)).status == 403
    assert alice.bind(0x4000, ("203.0.113.1", 0)).status == 403
    assert alice.bind(0x4000, (SERVER_HOST, 50_000)).status == 200


def test_send_indications_need_an_allocation_a_permission_and_a_peer_that_is_allowed(
    alice: Client, world: World
) -> None:
    alice.indicate(b"no allocation")
    alice.allocate()
    alice.indicate(b"no permission")
    alice.permit(PEER, (SERVER_HOST, 1))
    alice.indicate(b"unknown attribute", PEER, attribute(0x7FFE, b""))
    alice.indicate(b"own port", (SERVER_HOST, SERVER_PORT))
    alice.indicate(b"another family", PEER_V6)
    alice.indicate(b"")
    alice.indicate(b"good", (PEER[0], 1))
    assert [(data, peer) for _, data, peer, _ in world.relays.sent] == [(b"", PEER), (b"good", (PEER[0], 1))]
    world.pass_time(PERMISSION_SECONDS + 1)
    alice.indicate(b"late")
    assert len(world.relays.sent) == 2


def test_a_binding_request_of_anybody_is_answered_with_its_address(world: World) -> None:
    stranger = Client(world, ("2001:db8::77", 1234))
    for fingerprint in (False, True):
        request = messages.write(messages.REQUEST, messages.BINDING, b"t" * 12, b"", None, fingerprint)
        answer = stranger.send(request)
        assert answer is not None
        assert answer.addresses(messages.XOR_MAPPED_ADDRESS) == [("2001:db8::77", 1234)]
        assert answer.message.has_fingerprint is fingerprint
        assert len(answer.raw) <= 3 * len(request)


def test_a_binding_request_with_an_unknown_attribute_is_420_and_an_ice_check_is_nobodys(world: World) -> None:
    stranger = Client(world)
    change = attribute(0x0003, b"\0\0\0\6")
    answer = stranger.send(messages.write(messages.REQUEST, messages.BINDING, b"t" * 12, change, None))
    assert answer is not None
    assert answer.status == 420
    check = attribute(messages.PRIORITY, b"\0\0\0\1")
    assert stranger.send(messages.write(messages.REQUEST, messages.BINDING, b"t" * 12, check, None)) is None


def test_what_is_no_request_gets_no_answer(alice: Client) -> None:
    alice.learn_nonce()
    for kind in (messages.INDICATION, messages.SUCCESS, messages.ERROR):
        for method in (*range(16), 0x80):
            assert alice.send(messages.write(kind, method & 0xF, alice.transaction(), b"", alice.key)) is None
    for method in (0, 2, 5, 6, 7, 10, 11, 12):
        assert alice.send(alice.request(method)) is None


def test_draining_refuses_new_ones_and_serves_old_ones_up_to_a_limit() -> None:
    world = World(drain_seconds=900)
    alice = Client(world)
    alice.allocate(lifetime(3_600))
    world.core.allocations.drain(world.now)
    assert world.core.allocations.free == 0
    assert Client(world, ("192.0.2.1", 1)).allocate().status == 508
    world.pass_time(500)
    assert alice.refresh().number(messages.LIFETIME) == 400
    world.pass_time(401)
    assert alice.allocation is None


def test_a_draining_server_with_an_alternate_names_it() -> None:
    world = World(alternate=("198.51.100.2", 3479))
    alice = Client(world)
    alice.allocate()
    world.core.allocations.drain(world.now)
    answer = Client(world, ("192.0.2.1", 1)).allocate()
    assert answer.status == 300
    assert answer.values(messages.ALTERNATE_SERVER) == [b"\x00\x01\x0d\x97\xc6\x33\x64\x02"]
    assert Client(world, ("2001:db8::1", 1)).allocate().status == 508


def test_a_month_nearly_used_up_is_draining() -> None:
    world = World(bytes_per_month_max=1_000.0)
    world.tables.meter.used = 951
    assert Client(world).allocate().status == 508
    world.tables.meter.used = 0
    assert Client(world).allocate().status == 200


def test_a_client_behind_a_stream_hears_its_real_address(world: World) -> None:
    alice = Client(world, ("100::5", 1))
    alice.transport, alice.seen = "tls", ("192.0.2.44", 5000)
    answer = alice.allocate()
    assert answer.addresses(messages.XOR_MAPPED_ADDRESS) == [("192.0.2.44", 5000)]
    assert world.tables.allocations[("100::5", 1)].transport == "tls"
    world.core.allocations.remove(("100::5", 1), world.now)
    world.core.allocations.remove(("100::5", 1), world.now)
    assert world.relays.open == {}
