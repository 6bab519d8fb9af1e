"""The pool of relays against the real server core, on virtual time."""

import pytest

from media.ice.candidates import relay_of
from media.relays import RELAYS_MAX, RETRY_SECONDS, RelayGone, RelayPool, RelayReady
from media.turn import messages
from media.turn.messages import attribute
from media.turn.outcomes import Credentials
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from p2psip.base.errors import LocalError
from p2psip.base.grants import turn_password
from tests.media.turn.world import REALM, SECRET, SERVER_HOST, UNIX, World

NODE: Address = ("192.0.2.10", 4_000)
PEER: Address = ("203.0.113.5", 9_000)


def credentials(owner: str = "aa" * 20, lifetime: int = 86_400) -> Credentials:
    """What a super-node grants."""
    username = f"{int(UNIX) + lifetime}:{owner}"
    return Credentials(username, turn_password(SECRET, username), REALM)


class Town:
    """A pool and servers at several addresses; `node` is where they see us."""

    def __init__(self, count: int = 1) -> None:
        self.pool = RelayPool(Chance.seeded(1))
        self.now = 100.0
        self.node = NODE
        self.servers: dict[Address, World] = {(f"198.51.100.{1 + n}", 3478): World() for n in range(count)}
        self.events: list[object] = []
        self.dead: set[Address] = set()
        self.sent = 0
        self.numbers = [
            self.pool.add(server, credentials(), name=f"s{n}", is_stream=False, now=self.now)
            for n, server in enumerate(self.servers)
        ]
        self.settle()

    def settle(self) -> None:
        """Carry datagrams until there are none."""
        while (output := self.pool.poll_output()) is not None:
            if not isinstance(output, Transmit):
                self.events.append(output)
                continue
            self.sent += 1
            server = self.servers.get(output.destination)
            if server is None or output.destination in self.dead:
                continue
            server.now = self.now
            answer = server.receive(output.data, self.node)
            if answer is not None and (answer[0] != 0 or answer[1] != 0x16):
                self.pool.receive(answer, output.destination, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (when := self.pool.poll_timeout()) is not None and when <= end:
            self.now = max(when, self.now)
            self.pool.handle_timeout(self.now)
            self.settle()
        self.now = end

    def states(self) -> list[str]:
        """The states of all relays."""
        return [each["state"] for each in self.pool.facts()]


def test_allocations_are_made_ahead_at_every_server() -> None:
    town = Town(3)
    assert town.states() == ["ready"] * 3
    found = town.pool.candidates()
    assert [each.type for each in found] == ["relay"] * 6
    assert len({relay_of(each) for each in found}) == 3
    assert [type(each) for each in town.events] == [RelayReady] * 3
    assert [":" in each.host for each in found] == [False, True] * 3
    assert found[0].priority > found[2].priority > found[4].priority > found[1].priority > found[3].priority
    assert found[0].host == SERVER_HOST
    assert (found[0].related_address, found[0].related_port) == NODE


def test_permissions_of_two_calls_are_held_until_the_last_releases_them() -> None:
    town = Town(2)
    town.pool.permit("one", [PEER[0], "203.0.113.6"], town.now)
    town.pool.permit("other", [PEER[0]], town.now)
    town.settle()
    assert [each["permissions"] for each in town.pool.facts()] == [2, 2]
    town.pool.release("one")
    assert [each["permissions"] for each in town.pool.facts()] == [1, 1]
    way = (*PEER, town.numbers[0])
    town.pool.bind(way, town.now)
    town.settle()
    wrapped = town.pool.wrap(b"media", way)
    assert wrapped == (b"\x40\x00\x00\x05media", next(iter(town.servers)))
    town.pool.release("other")
    assert town.pool.wrap(b"media", way) is None


def test_what_a_server_brings_carries_the_number_of_its_relay() -> None:
    town = Town(2)
    town.pool.permit("call", [PEER[0]], town.now)
    first, second = town.servers
    way = (*PEER, town.numbers[1])
    town.settle()
    town.pool.bind(way, town.now)
    town.settle()
    assert town.pool.unwrap(b"\x40\x00\x00\x05media", second, town.now) == (b"media", way)
    assert town.pool.unwrap(b"\x40\x00\x00\x05media", first, town.now) is None
    assert town.pool.unwrap(b"\x40\x00\x00\x05media", PEER, town.now) is None
    body = messages.address_attribute(messages.XOR_PEER_ADDRESS, PEER, bytes(12))
    body += attribute(messages.DATA_VALUE, b"check")
    data = messages.write(messages.INDICATION, messages.DATA, bytes(12), body, None)
    assert town.pool.expects(data, second)
    assert not town.pool.expects(data, PEER)
    assert town.pool.receive(data, second, town.now) == [(b"check", way)]


def test_an_ice_check_of_a_super_node_that_is_also_our_server_is_not_the_pools() -> None:
    town = Town()
    check = messages.write(messages.REQUEST, messages.BINDING, bytes(12), b"", None)
    answer = messages.write(messages.SUCCESS, messages.BINDING, bytes(12), b"", None)
    server = next(iter(town.servers))
    assert not town.pool.expects(check, server)
    assert not town.pool.expects(answer, server)


def test_a_server_that_dies_is_noticed_and_taken_up_again_under_a_new_number() -> None:
    town = Town()
    (server,) = town.servers
    before = relay_of(town.pool.candidates()[0])
    town.dead.add(server)
    died = town.now
    town.run(15.0)
    gone = next(each for each in town.events if isinstance(each, RelayGone))
    assert (gone.number, gone.relay) == (town.numbers[0], before)
    assert town.now - died <= 15.0
    assert town.pool.candidates() == []
    town.servers[server] = World()  # it has been restarted
    town.dead.clear()
    town.run(3 * RETRY_SECONDS + 10)
    assert town.states() == ["ready"]
    assert relay_of(town.pool.candidates()[0]) != before


def test_a_server_that_is_dead_is_not_asked_in_a_hurry() -> None:
    town = Town()
    town.dead |= set(town.servers)
    town.run(60.0)
    town.sent = 0
    town.run(600.0)
    assert town.sent < 120


def test_a_change_of_our_address_gets_new_allocations_within_a_few_round_trips() -> None:
    town = Town(3)
    before = {relay_of(each) for each in town.pool.candidates()}
    town.node = ("192.0.2.99", 7_000)
    town.pool.check(town.now)
    assert not town.pool.is_settled()
    town.settle()
    town.run(0.1)
    assert town.pool.is_settled()
    assert town.states() == ["ready"] * 3
    assert not before & {relay_of(each) for each in town.pool.candidates()}
    assert town.pool.candidates()[0].related_address == "192.0.2.99"


def test_wanted_hosts_are_permitted_again_after_that() -> None:
    town = Town()
    town.pool.permit("call", [PEER[0]], town.now)
    town.settle()
    town.node = ("192.0.2.99", 7_000)
    town.pool.check(town.now)
    town.settle()
    town.run(0.1)
    way = (*PEER, relay_of(town.pool.candidates()[0]) or 0)
    assert town.pool.wrap(b"x", way) is not None


def test_the_same_server_again_takes_the_new_credentials() -> None:
    town = Town()
    (server,) = town.servers
    assert town.pool.add(server, credentials(lifetime=90_000), name="s", is_stream=False, now=town.now) == 1
    town.settle()
    town.run(60.0)
    assert len(town.pool) == 1
    assert town.states() == ["ready"]


def test_a_relay_that_is_removed_is_given_back() -> None:
    town = Town()
    (world,) = town.servers.values()
    assert world.core.allocations.in_use == 2
    town.pool.remove(town.numbers[0], town.now)
    town.settle()
    assert world.core.allocations.in_use == 0
    assert isinstance(town.events[-1], RelayGone)
    assert (len(town.pool), town.pool.poll_timeout(), town.pool.candidates()) == (0, None, [])
    town.pool.remove(town.numbers[0], town.now)


def test_one_relay_over_the_bound() -> None:
    town = Town(0)
    for number in range(RELAYS_MAX):
        town.pool.add((f"198.51.100.{number}", 1), credentials(), name="s", is_stream=False, now=town.now)
    with pytest.raises(LocalError):
        town.pool.add(("198.51.101.1", 1), credentials(), name="s", is_stream=False, now=town.now)
    assert len(town.pool) == RELAYS_MAX


def test_a_relay_that_is_left_is_offered_no_more_and_still_brings_what_comes() -> None:
    town = Town(2)
    first, second = town.numbers
    ways = {number: (*PEER, number) for number in town.numbers}
    assert town.pool.leave(first)
    assert not town.pool.leave(first)  # once
    assert not town.pool.leave(second)  # there is none to move to
    assert {relay_of(candidate) for candidate in town.pool.candidates()} == {second}
    assert [town.pool.is_left(ways[number]) for number in town.numbers] == [True, False]
    assert not town.pool.is_left(PEER)
    town.pool.permit("call", [PEER[0]], town.now)
    town.settle()
    assert town.pool.wrap(b"media", ways[first]) is not None
    town.pool.add(next(iter(town.servers)), credentials(), name="s0", is_stream=False, now=town.now)
    assert {relay_of(candidate) for candidate in town.pool.candidates()} == {first, second}
