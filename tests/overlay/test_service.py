"""The shell on real loopback sockets, on trio's virtual clock: a datagram takes no time there, and waiting none here."""

import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from overlay.frame import FIRST_BYTE, PEER_KEYS_MAX
from overlay.heard import HEARD_SECONDS_MAX
from overlay.publishing import REFRESH_SECONDS, REGISTRATION_SECONDS
from overlay.records import REGISTRATION, registration_key
from overlay.remembered import RememberedPeers
from overlay.service import REMEMBER_SECONDS, OverlayService
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from tests.overlay.devices import UNIX, Device, Town

CHANCE = Chance.seeded(5)


class VirtualClock(Clock):
    """The virtual clock of the trio run of one test."""

    def __init__(self, source: MockClock) -> None:
        self.source = source

    def now(self) -> float:
        """Seconds of the run's clock."""
        return self.source.current_time()

    def unix(self) -> float:
        """The tests' epoch and those seconds."""
        return UNIX + self.now()


class Street:
    """An overlay of services in one process."""

    def __init__(self, nursery: trio.Nursery, clock: MockClock, host: str) -> None:
        self.clock = VirtualClock(clock)
        self.town = Town()
        self.nodes: list[OverlayService] = []
        self._nursery = nursery
        self._host = host
        self._scopes: dict[OverlayService, trio.CancelScope] = {}

    async def start(
        self, name: str, *, device: Device | None = None, state: Path | None = None, **fields: Any
    ) -> OverlayService:
        """A running service that has not joined yet."""
        device = device or self.town.device(name)
        port = NodePort.bind([self._host], 0)
        service = OverlayService(
            node_key=device.node_key,
            signing_key=device.signing_key,
            certificate=device.certificate.der,
            ca=self.town.ca_der,
            configuration=self.town.configuration(),
            port=port,
            clock=self.clock,
            chance=CHANCE.child(f"{name} {len(self.nodes)}"),
            state_file=state,
            **fields,
        )
        self._scopes[service] = await self._nursery.start(_run, port, service)
        self.nodes.append(service)
        return service

    async def populate(self, count: int) -> None:
        """Start and join as many, each through one that is there."""
        for number in range(count):
            introducers = [introduction(self.nodes[number // 2])] if self.nodes else []
            service = await self.start(f"user{number}")
            if introducers:
                assert await service.join(introducers) > 0

    async def stop(self, service: OverlayService) -> None:
        """End one service; its sockets are closed."""
        self._scopes.pop(service).cancel()
        self.nodes.remove(service)
        await trio.sleep(0.01)


async def _run(
    port: NodePort, service: OverlayService, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(port.run)
            await nursery.start(service.run)
            task_status.started(scope)


@asynccontextmanager
async def street(clock: MockClock, host: str = "127.0.0.1") -> AsyncIterator[Street]:
    """A street whose services all end with it."""
    async with trio.open_nursery() as nursery:
        yield Street(nursery, clock, host)
        nursery.cancel_scope.cancel()


def introduction(service: OverlayService) -> tuple[bytes, Address]:
    """What a newcomer needs to know of a node."""
    return service.peer.node_key.public, service._port.local[0]


def addresses(service: OverlayService) -> list[str]:
    """The first address of the service's person."""
    return [service.participant.certificate.addresses[0]]


async def found_by(services: list[OverlayService], address: str) -> list[int]:
    """How many devices each of these finds."""
    counts = []
    for service in services:
        service.forget_found(address)
        counts.append(len((await service.find(address)).registrations))
    return counts


async def test_every_node_finds_who_is_published(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(20)
        callee = overlay.nodes[13]
        (address,) = addresses(callee)
        assert await callee.publish([address]) >= 8
        assert await found_by(overlay.nodes, address) == [1] * 20
        found = await overlay.nodes[2].find(address)
        assert found.registrations[0].addresses == (callee._port.local[0],)
        assert found.cached


@pytest.mark.slow
async def test_two_hundred_nodes_on_loopback_all_find_the_record(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(200)
        callee = overlay.nodes[77]
        (address,) = addresses(callee)
        assert await callee.publish([address]) >= 8
        assert await found_by(overlay.nodes, address) == [1] * 200


async def test_over_ipv6(autojump_clock: MockClock) -> None:
    async with street(autojump_clock, "::1") as overlay:
        await overlay.populate(5)
        callee = overlay.nodes[3]
        (address,) = addresses(callee)
        assert await callee.publish([address]) == 4
        assert await found_by(overlay.nodes, address) == [1] * 5
        assert callee.peer.seen.agreed == callee._port.local[0]
        assert callee._port.local[0][0] == "::1"


async def test_who_listens_everywhere_is_reached_where_the_first_peer_has_seen_it(autojump_clock: MockClock) -> None:
    async with street(autojump_clock, "0.0.0.0") as overlay:
        await overlay.populate(2)
        first, second = overlay.nodes
        await second.publish(addresses(second))
        (found,) = (await first.find(addresses(second)[0])).registrations
        assert found.addresses == (("127.0.0.1", second._port.number),)


async def test_a_registration_tells_of_a_new_address_at_once(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(4)
        callee, caller = overlay.nodes[-2:]
        await callee.publish(addresses(callee))
        for voter in (b"one", b"another", b"and one more", b"and the last"):
            callee.peer.seen.cast(voter, ("192.0.2.1", 4500))
        await trio.sleep(REMEMBER_SECONDS + 1)
        caller.forget_found(addresses(callee)[0])
        (found,) = (await caller.find(addresses(callee)[0])).registrations
        assert found.addresses[0] == ("192.0.2.1", 4500)


async def test_a_registration_outlives_its_lifetime_because_it_is_refreshed(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(6)
        callee, caller = overlay.nodes[1], overlay.nodes[5]
        (address,) = addresses(callee)
        await callee.publish([address])
        first = (await caller.find(address)).registrations[0].expires
        assert first == pytest.approx(overlay.clock.unix() + REGISTRATION_SECONDS, abs=2)
        await trio.sleep(REFRESH_SECONDS + 5)
        second = (await caller.find(address)).registrations[0].expires
        assert first < second <= first + REFRESH_SECONDS + 5
        await trio.sleep(3 * REGISTRATION_SECONDS)
        assert await found_by(overlay.nodes, address) == [1] * 6
        assert callee.status()["canary"] == "found again"


async def test_who_has_vanished_is_found_no_longer_than_the_lifetime_but_known_to_exist(
    autojump_clock: MockClock,
) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(6)
        callee, caller = overlay.nodes[1], overlay.nodes[5]
        (address,) = addresses(callee)
        await trio.sleep(REFRESH_SECONDS + 5)
        await callee.publish([address])
        await overlay.stop(callee)
        await trio.sleep(REGISTRATION_SECONDS - 30)
        assert await found_by([caller], address) == [1]
        await trio.sleep(31)
        assert await found_by(overlay.nodes, address) == [0] * 5
        assert (await caller.find(address)).name_exists
        assert not (await caller.find("nobody@home.example")).name_exists


async def test_who_has_withdrawn_is_found_by_nobody_and_stays_away(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(8)
        callee = overlay.nodes[1]
        (address,) = addresses(callee)
        await callee.publish([address])
        await callee.withdraw([address])
        assert await found_by(overlay.nodes, address) == [0] * 8
        await trio.sleep(2 * REFRESH_SECONDS)
        assert await found_by(overlay.nodes, address) == [0] * 8
        await callee.publish([address])
        assert await found_by(overlay.nodes, address) == [1] * 8


async def test_a_node_comes_back_through_the_peers_that_it_remembers(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        bootstrap = await overlay.start("bootstrap")
        for number in range(6):
            assert await (await overlay.start(f"user{number}")).join([introduction(bootstrap)]) > 0
        device, state = overlay.town.device("alice"), tmp_path / "peers.sqlite"
        alice = await overlay.start("alice", device=device, state=state)
        assert await alice.join([introduction(bootstrap)]) >= 6
        await overlay.stop(alice)
        await overlay.stop(bootstrap)
        again = await overlay.start("alice", device=device, state=state)
        assert await again.join([]) >= 6
        (address,) = addresses(again)
        assert await again.publish([address]) >= 6
        assert await found_by(overlay.nodes, address) == [1] * len(overlay.nodes)


async def test_who_is_met_is_written_down_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        state = tmp_path / "peers.sqlite"
        bootstrap = await overlay.start("bootstrap")
        alice = await overlay.start("alice", state=state)
        await alice.join([introduction(bootstrap)])
        later = await overlay.start("bob")
        await later.join([introduction(bootstrap)])
        await trio.sleep(1.0)
        killed = shutil.copytree(tmp_path, tmp_path.parent / "as the power cut left it")
        remembered = RememberedPeers(killed / state.name)
        known = {node_key for node_key, _address in remembered.load()}
        remembered.close()
        assert known == {bootstrap.peer.node_key.public, later.peer.node_key.public}


async def test_without_anybody_to_join_through_it_is_alone_and_lives(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        alone = await overlay.start("alone")
        assert await alone.join([]) == 0
        assert await alone.join([(bytes([9]) * 32, ("127.0.0.1", 9))]) == 0
        assert await alone.publish(addresses(alone)) == 0
        assert (await alone.find("bob@home.example")).registrations == ()
        assert alone.status()["peers"] == 0


async def test_ten_thousand_datagrams_of_garbage_disturb_nothing(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(5)
        target, (address,) = overlay.nodes[0], addresses(overlay.nodes[3])
        await overlay.nodes[3].publish([address])
        box, before = target.peer._box, len(target.peer._box)
        chance, sent = Chance.seeded(8), target.peer.malformed
        true_head = bytes((FIRST_BYTE,)) + bytes(4) + overlay.nodes[1].peer.node_key.public
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            for number in range(10_000):
                head = true_head if number % 3 == 0 else bytes((FIRST_BYTE + number % 64,))
                attacker.sendto(head + chance.bytes(number % 300), target._port.local[0])
                if number % 100 == 0:
                    await trio.sleep(0.001)
        await trio.sleep(0.1)
        assert target.peer.malformed - sent == 10_000
        assert len(box) == before <= PEER_KEYS_MAX
        assert len(target.peer.table) == 4
        assert await found_by(overlay.nodes, address) == [1] * 5


async def test_messages_reach_the_other_node_and_name_their_author(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(4)
        caller, callee = overlay.nodes[0], overlay.nodes[3]
        heard: list[tuple[bytes, DeviceCertificate, bytes]] = []
        callee.on_message(lambda key, certificate, data: heard.append((key, certificate, data)))
        key, address = introduction(callee)
        for number in range(50):
            caller.send_message(key, [address], b"message %d" % number)
            await trio.sleep(0.001)
        assert [data for _key, _certificate, data in heard] == [b"message %d" % number for number in range(50)]
        assert {(key, certificate.user) for key, certificate, _data in heard} == {
            (caller.peer.node_key.public, caller.participant.certificate.user)
        }


async def test_a_node_that_has_moved_is_reached_where_its_registration_says(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(4)
        device = overlay.town.device("alice")
        old = await overlay.start("alice", device=device)
        await old.join([introduction(overlay.nodes[0])])
        caller = overlay.nodes[2]
        caller.send_message(old.peer.node_key.public, [introduction(old)[1]], b"first")
        await trio.sleep(1)
        await overlay.stop(old)
        await trio.sleep(HEARD_SECONDS_MAX)
        new = await overlay.start("alice", device=device)
        heard: list[bytes] = []
        new.on_message(lambda _key, _certificate, data: heard.append(data))
        second = b"second".ljust(60)  # as long as any SIP: a shorter one of a stranger may cause no question
        caller.send_message(new.peer.node_key.public, [introduction(new)[1]], second)
        await trio.sleep(5)
        assert heard == [second]


async def test_a_revocation_reaches_everybody_and_the_application(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(6)
        revoked = overlay.nodes[4]
        told: list[bytes] = []
        overlay.nodes[5].on_configuration(told.append)
        newer = overlay.town.configuration(2, revoked_serials=frozenset((revoked.participant.certificate.serial,)))
        assert overlay.nodes[0].update_configuration(newer)
        await trio.sleep(700)
        others = [node for node in overlay.nodes if node is not revoked]
        assert {node.status()["configuration"] for node in others} == {2}
        assert [node for node in others if revoked.peer.node_key.public in dict(node.peers())] == []
        assert told == [newer]


async def test_what_each_node_holds_is_a_true_record(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(5)
        (address,) = addresses(overlay.nodes[2])
        await overlay.nodes[2].publish([address])
        held = [node.peer.store.get(REGISTRATION, registration_key(address), UNIX) for node in overlay.nodes]
        assert [len(records) for records in held] == [1] * 5


async def test_a_run_with_a_clock_far_ahead_leaves_no_wrong_time_behind(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Frames must be of later runs all the same (`overlay.frame`); records and hellos go by the clock that is right again."""
    async with street(autojump_clock) as around:
        remembered = RememberedPeers(tmp_path / "overlay.sqlite")
        remembered.next_start(UNIX + 2 * 86_400)
        remembered.close()
        device = around.town.device("alice")
        service = await around.start("alice", device=device, state=tmp_path / "overlay.sqlite")
        assert service.peer.unix_offset == pytest.approx(UNIX, abs=1)
