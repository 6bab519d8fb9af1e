"""The overlay as calls see it: our own device left out, tables bounded, SIP told at once what cannot be sent."""

from types import SimpleNamespace
from typing import Any

import pytest

from p2psip.app.directory import NODES_MAX, OverlayDirectory
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import node_id_of

OWN = b"\x01" * 20
PEER_KEY = b"k" * 32
PEER_ID = node_id_of(PEER_KEY)


class FakeOverlay:
    """The overlay service as the directory uses it."""

    def __init__(self) -> None:
        self.peer = SimpleNamespace(node_key=SimpleNamespace(node_id=OWN))
        self.registrations: list[Any] = []
        self.sent: list[tuple[bytes, Any, bytes]] = []
        self.published: list[tuple[str, tuple[str, ...]]] = []
        self.receive: Any = None
        self.name_exists = True
        self.was_answered = True

    def on_message(self, hook: Any) -> None:
        self.receive = hook

    async def find(self, _address: str) -> Any:
        return SimpleNamespace(
            registrations=self.registrations,
            name_exists=self.name_exists,
            was_answered=self.was_answered,
            hops=2,
            milliseconds=3.0,
        )

    async def publish(self, addresses: tuple[str, ...]) -> None:
        self.published.append(("publish", addresses))

    async def withdraw(self, addresses: tuple[str, ...]) -> None:
        self.published.append(("withdraw", addresses))

    def send_message(self, node_key: bytes, ways: Any, data: bytes) -> None:
        if len(data) > 100:
            raise LocalError("too large")
        self.sent.append((node_key, ways, data))


class FakeSip:
    """The SIP service as the directory uses it."""

    def __init__(self) -> None:
        self.send: Any = None
        self.received: list[tuple[str, bytes]] = []

    def attach_overlay(self, send: Any) -> None:
        self.send = send

    def receive_overlay(self, node_id: str, data: bytes) -> None:
        self.received.append((node_id, data))


def device(node_key: bytes, node_id: bytes, *addresses: tuple[str, int], person: str = "bob@home.example") -> Any:
    certificate = SimpleNamespace(addresses=(person,))
    return SimpleNamespace(node_key=node_key, node_id=node_id, ways=addresses, redirect=None, certificate=certificate)


def world() -> tuple[FakeOverlay, FakeSip, OverlayDirectory]:
    overlay: Any = FakeOverlay()
    sip: Any = FakeSip()
    return overlay, sip, OverlayDirectory(overlay, sip, ["alice@home.example", "1001@home.example"])


async def test_our_own_device_and_one_without_a_way_to_it_are_left_out() -> None:
    overlay, sip, directory = world()
    there = ("192.0.2.1", 4500)
    overlay.registrations = [device(b"o", OWN, there), device(b"n", b"n" * 20), device(PEER_KEY, PEER_ID, there)]
    found = await directory.find("bob@home.example")
    assert (found.node_ids, found.hops, found.milliseconds) == ((PEER_ID.hex(),), 2, 3.0)
    sip.send(PEER_ID.hex(), b"INVITE")
    assert overlay.sent == [(PEER_KEY, (there,), b"INVITE")]


async def test_who_can_ask_nobody_does_not_say_that_there_is_nobody_of_that_name() -> None:
    overlay, _sip, directory = world()
    overlay.name_exists = overlay.was_answered = False
    with pytest.raises(RemoteError, match="no other node") as caught:
        await directory.name_exists("bob@home.example")
    assert caught.value.status == 503
    overlay.was_answered = True
    assert not await directory.name_exists("bob@home.example")


async def test_a_device_whose_certificate_names_somebody_else_is_left_out() -> None:
    overlay, _sip, directory = world()
    overlay.registrations = [device(PEER_KEY, PEER_ID, ("192.0.2.1", 4500), person="mallory@home.example")]
    assert (await directory.find("bob@home.example")).node_ids == ()


async def test_a_stranger_may_be_answered_and_is_known_by_its_certificate() -> None:
    overlay, sip, directory = world()
    assert directory.addresses_of(PEER_ID.hex()) == ()
    overlay.receive(PEER_KEY, SimpleNamespace(addresses=("bob@home.example",)), b"INVITE")
    assert sip.received == [(PEER_ID.hex(), b"INVITE")]
    assert directory.addresses_of(PEER_ID.hex()) == ("bob@home.example",)
    sip.send(PEER_ID.hex(), b"200")
    assert overlay.sent == [(PEER_KEY, (), b"200")]


async def test_sip_learns_when_a_node_cannot_be_told_something() -> None:
    overlay, sip, _directory = world()
    assert not sip.send("00" * 20, b"x")
    overlay.receive(PEER_KEY, SimpleNamespace(addresses=()), b"x")
    assert not sip.send(PEER_ID.hex(), b"x" * 101)
    assert overlay.sent == []
    assert sip.send(PEER_ID.hex(), b"x" * 100)


async def test_one_node_over_the_bound_forgets_the_oldest() -> None:
    overlay, _sip, directory = world()
    certificate = SimpleNamespace(addresses=("x@home.example",))
    keys = [number.to_bytes(32, "big") for number in range(NODES_MAX + 1)]
    for key in keys:
        overlay.receive(key, certificate, b"x")
    assert directory.addresses_of(node_id_of(keys[0]).hex()) == ()
    assert directory.addresses_of(node_id_of(keys[1]).hex()) == ("x@home.example",)
    assert len(directory._nodes) == NODES_MAX


async def test_all_addresses_are_published_and_withdrawn_together() -> None:
    overlay, _sip, directory = world()
    await directory.publish()
    await directory.withdraw()
    both = ("alice@home.example", "1001@home.example")
    assert overlay.published == [("publish", both), ("withdraw", both)]
    assert await directory.name_exists("bob@home.example")


class CrowdedOverlay(FakeOverlay):
    """One that does as much as it can already."""

    async def find_again(self, _address: str) -> Any:
        raise LocalError("too many lookups at once")

    def watch(self, _address: str, _hook: Any) -> Any:
        raise LocalError("too many people are watched at once")


async def test_who_watches_learns_late_when_the_overlay_does_as_much_as_it_can() -> None:
    sip: Any = FakeSip()
    overlay: Any = CrowdedOverlay()
    directory = OverlayDirectory(overlay, sip, ("alice@home.example",))
    with pytest.raises(RemoteError) as caught:
        await directory.find_again("bob@home.example")
    assert caught.value.status == 503
    directory.watch("bob@home.example", lambda: None)()
