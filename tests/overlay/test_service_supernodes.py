"""The service's side of super-nodes on real loopback sockets: volunteers, clients, registrations, credentials, the check."""

import pytest
import trio
from trio.testing import MockClock

from overlay.crossing import Volunteering
from overlay.paths import Gateway
from overlay.publishing import ANNOUNCE_CHECK_SECONDS
from overlay.reachability import Role
from overlay.relay_record import Announcement
from overlay.service import OverlayService
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.grants import Grant, TurnServer, make_grant
from tests.overlay.test_service import Street, addresses, introduction, street

SECRET = b"the secret of a relay server"


class Volunteer:
    """What a super-node says of itself."""

    def __init__(self) -> None:
        self.node_key = bytes(32)
        self.address: Address = ("127.0.0.1", 1)
        self.draining = False

    def grants(self, certificate: DeviceCertificate, unix: float) -> Grant:
        """Credentials."""
        return make_grant(
            SECRET, certificate.node_id.hex(), "home.example", unix, 600, (TurnServer("udp", self.address),)
        )

    def announcement(self) -> Announcement:
        """The announcement."""
        return Announcement(self.node_key, (self.address,), capacity=7, draining=self.draining)


async def start_volunteer(overlay: Street, name: str) -> tuple[OverlayService, Volunteer]:
    """A super-node that has joined."""
    told = Volunteer()
    service = await overlay.start(name, volunteer=Volunteering(told.grants, told.announcement, allows_private=True))
    told.node_key, told.address = introduction(service)
    await service.join([introduction(overlay.nodes[0])])
    return service, told


async def start_client(overlay: Street, name: str, flows: int = 3) -> OverlayService:
    """A client that has joined and is attached."""
    client = await overlay.start(name, role=Role.CLIENT)
    attached = trio.Event()
    client.on_rendezvous(lambda: attached.set() if len(client.rendezvous()) == flows else None)
    await client.join([introduction(overlay.nodes[0])])
    with trio.fail_after(20):
        await attached.wait()
    return client


async def wait_until_announced(overlay: Street) -> None:
    """Let volunteers announce themselves."""
    await trio.sleep(ANNOUNCE_CHECK_SECONDS + 1)
    assert len(overlay.nodes) > 0


async def test_clients_are_published_with_their_rendezvous_and_talk(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(4)
        volunteers = [await start_volunteer(overlay, f"volunteer{number}") for number in range(4)]
        await wait_until_announced(overlay)
        alice, bob = await start_client(overlay, "alice"), await start_client(overlay, "bob")
        assert await bob.publish(addresses(bob)) > 0
        (found,) = (await alice.find(addresses(bob)[0])).registrations
        assert found.addresses == ()
        assert {each.node_key for each in found.rendezvous} == {flow.node_key for flow in bob.rendezvous()}
        heard: list[bytes] = []
        bob.on_message(lambda _key, _certificate, data: heard.append(data))
        alice.send_message(found.node_key, found.rendezvous, b"hello")
        await trio.sleep(1)
        assert heard == [b"hello"]
        assert all(flow.rtt < 1 and flow.since > 0 for flow in bob.rendezvous())
        known = {node.node_key: node for node in alice.supernodes()}
        assert set(known) <= {service.peer.node_key.public for service, _told in volunteers}
        assert {node.capacity for node in known.values()} == {7}


async def test_a_dead_rendezvous_is_replaced_and_the_registration_says_so_at_once(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(3)
        for number in range(4):
            await start_volunteer(overlay, f"volunteer{number}")
        await wait_until_announced(overlay)
        alice, bob = await start_client(overlay, "alice"), await start_client(overlay, "bob")
        changes: list[int] = []
        bob.on_rendezvous(lambda: changes.append(len(bob.rendezvous())))
        await bob.publish(addresses(bob))
        dead = bob.rendezvous()[0].node_key
        await overlay.stop(next(node for node in overlay.nodes if node.peer.node_key.public == dead))
        await trio.sleep(30)
        (found,) = (await alice.find(addresses(bob)[0])).registrations
        assert dead not in {each.node_key for each in found.rendezvous}
        assert len(found.rendezvous) == len(bob.rendezvous()) == 3
        assert changes[-1] == 3
        retired = next(node for node in overlay.nodes if node.peer.node_key.public == bob.rendezvous()[0].node_key)
        spare, _told = await start_volunteer(overlay, "spare")
        await wait_until_announced(overlay)
        retired.retire()
        await trio.sleep(15)
        assert spare.peer.node_key.public in {flow.node_key for flow in bob.rendezvous()}


async def test_credentials_are_granted_to_members_by_super_nodes_only(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(2)
        service, told = await start_volunteer(overlay, "volunteer")
        await wait_until_announced(overlay)
        client = await start_client(overlay, "alice", flows=1)
        grant = await client.grant(service.peer.node_key.public)
        assert grant == told.grants(client.participant.certificate, overlay.clock.unix())
        with pytest.raises(RemoteError) as unknown:
            await client.grant(bytes(32))
        assert unknown.value.status == 404
        key, address = introduction(overlay.nodes[0])
        answer = await client.request(key, address, 6, [])
        assert answer is not None
        assert answer.status == 405


async def test_whether_it_can_be_called_is_tried_by_somebody_else(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(3)
        for number in range(4):
            await start_volunteer(overlay, f"volunteer{number}")
        await wait_until_announced(overlay)
        client = await start_client(overlay, "alice")
        check = await client.check_callable()
        assert (check.is_callable, check.tester) == (False, None)
        await client.publish(addresses(client))
        check = await client.check_callable()
        assert check.is_callable, check.words
        assert "super-node" in check.words
        assert check.tester not in {None, client.peer.node_key.node_id}
        peer = overlay.nodes[1]
        await peer.publish(addresses(peer))
        assert (await peer.check_callable()).is_callable


async def test_without_udp_all_goes_through_the_gateway(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(3)
        gateway, _told = await start_volunteer(overlay, "gateway")
        await wait_until_announced(overlay)
        client = await overlay.start("confined")
        key, address = introduction(gateway)
        assert await client.greet(key, address)
        client.use_gateways([Gateway(key, address)])
        sent: list[Address] = []
        send = client._driver._send
        client._driver._send = lambda data, destination: (sent.append(destination), send(data, destination))[1]
        assert await client.join([introduction(overlay.nodes[0])]) > 0
        assert client.verdict.role is Role.CLIENT
        assert await client.publish(addresses(client)) > 0
        (found,) = (await overlay.nodes[2].find(addresses(client)[0])).registrations
        assert (found.addresses, found.rendezvous[0].node_key) == ((), key)
        heard: list[bytes] = []
        client.on_message(lambda _key, _certificate, data: heard.append(data))
        overlay.nodes[2].send_message(found.node_key, found.ways, b"hello")
        await trio.sleep(1)
        assert heard == [b"hello"]
        assert set(sent) == {address}
        client.use_gateways([])
        assert client.verdict.role is Role.PEER


async def test_who_drains_is_announced_so(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(2)
        _service, told = await start_volunteer(overlay, "volunteer")
        await wait_until_announced(overlay)
        client = await start_client(overlay, "alice", flows=1)
        assert [node.draining for node in client.supernodes()] == [False]
        told.draining = True
        await wait_until_announced(overlay)
        later = await overlay.start("bob", role=Role.CLIENT)
        await later.join([introduction(overlay.nodes[0])])
        await trio.sleep(5)
        assert [node.draining for node in later.supernodes()] == [True]
        assert later.rendezvous() == ()
        assert len(client.rendezvous()) == 1
