"""The port mapper against scripted routers on virtual time, and its protocols against a scripted gateway on loopback."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.net.clock import Clock
from p2psip.net.port_control import Granted
from p2psip.net.port_mapping import LIFETIME_SECONDS, PROTOCOLS, Mapping, MappingTimes, PortMapper, routers_of
from p2psip.net.routers import (
    UPNP_PORTS_TRIED_MAX,
    Gateway,
    NatPmpRouter,
    PcpRouter,
    Router,
    UpnpRouter,
    Wanted,
    default_gateway,
)
from tests.net.test_port_control import pcp_answer, pmp_answer

HOME = Gateway("192.168.1.1", "192.168.1.10")
SILENCE = RemoteError("nobody answers", status=504)
REFUSAL = RemoteError("it is not allowed", status=403)


class VirtualClock(Clock):
    def now(self) -> float:
        return trio.current_time()


@dataclasses.dataclass
class ScriptedRouter:
    """Answers each request with the next of its answers, the last one for ever."""

    name: str
    answers: list[Granted | RemoteError]
    asked: list[tuple[float, Wanted, int]] = dataclasses.field(default_factory=list)
    removed: list[Wanted] = dataclasses.field(default_factory=list)

    async def map(self, wanted: Wanted, lifetime_seconds: int) -> Granted:
        await trio.lowlevel.checkpoint()
        self.asked.append((trio.current_time(), wanted, lifetime_seconds))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RemoteError):
            raise answer
        return answer

    async def unmap(self, wanted: Wanted) -> None:
        await trio.lowlevel.checkpoint()
        self.removed.append(wanted)


class World:
    """A mapper with scripted routers and a gateway that tests may change."""

    def __init__(self, *routers: ScriptedRouter, tcp_number: int | None = None) -> None:
        self.gateway: Gateway | None = HOME
        self.changes: list[Mapping | None] = []
        self.mapper = PortMapper(
            5_060,
            VirtualClock(),
            Chance.seeded(1),
            tcp_number=tcp_number,
            routers=lambda _gateway, _chance: routers,
            gateway=lambda: self.gateway,
        )
        self.mapper.on_change(self.changes.append)

    async def run(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.mapper.run)
                await trio.sleep(seconds / 2)
                meanwhile()


async def test_the_first_protocol_that_works_is_kept_renewed_and_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pcp = ScriptedRouter("PCP", [SILENCE])
    pmp = ScriptedRouter("NAT-PMP", [Granted("20.1.1.1", 40_000, 600)])
    upnp = ScriptedRouter("UPnP", [SILENCE])
    world = World(pcp, pmp, upnp)
    assert world.mapper.mapping is None
    await world.run(200)
    assert world.changes == [Mapping(("20.1.1.1", 40_000), "NAT-PMP", 600), None]
    assert len(pcp.asked) == 1
    assert upnp.asked == []
    assert [wanted for _at, wanted, _lifetime in pmp.asked] == [
        Wanted("udp", 5_060, 5_060),
        *[Wanted("udp", 5_060, 40_000)] * 3,
    ]
    assert pmp.removed == [Wanted("udp", 5_060, 40_000)]
    assert "20.1.1.1:40000 (NAT-PMP)" in world.mapper.explanation


async def test_a_short_lifetime_is_renewed_at_its_half(autojump_clock: trio.testing.MockClock) -> None:
    router = ScriptedRouter("PCP", [Granted("20.1.1.1", 40_000, 20)])
    world = World(router)
    start = trio.current_time()
    await world.run(35)
    assert [at - start for at, _wanted, _lifetime in router.asked] == pytest.approx([0, 10, 20, 30], abs=0.01)
    assert {lifetime for _at, _wanted, lifetime in router.asked} == {LIFETIME_SECONDS}


async def test_a_change_of_the_external_address_is_told(autojump_clock: trio.testing.MockClock) -> None:
    world = World(ScriptedRouter("PCP", [Granted("20.1.1.1", 40_000, 600), Granted("20.1.1.9", 40_001, 600)]))
    await world.run(100)
    assert [change.external if change else None for change in world.changes] == [
        ("20.1.1.1", 40_000),
        ("20.1.1.9", 40_001),
        None,
    ]


async def test_nobody_answers(autojump_clock: trio.testing.MockClock) -> None:
    router = ScriptedRouter("PCP", [SILENCE])
    world = World(router)
    await world.run(2_000)
    assert world.changes == []
    assert world.mapper.explanation == "no router answers to PCP, NAT-PMP, UPnP"
    assert 6 <= len(router.asked) <= 9
    assert router.removed == []


async def test_without_a_default_route_it_says_so(autojump_clock: trio.testing.MockClock) -> None:
    world = World(ScriptedRouter("UPnP", [SILENCE]))
    world.gateway = None
    await world.run(10)
    assert world.mapper.explanation.endswith("this machine has no default route")


async def test_a_refusal_is_told_in_the_words_of_the_first_protocol(autojump_clock: trio.testing.MockClock) -> None:
    world = World(ScriptedRouter("PCP", [REFUSAL]), ScriptedRouter("UPnP", [RemoteError("Action Failed", status=403)]))
    await world.run(10)
    assert world.mapper.explanation == "the router 192.168.1.1 does not let others in: it is not allowed (PCP)"


@pytest.mark.parametrize("host", ["100.64.1.2", "10.1.1.1", "192.168.0.2"])
async def test_a_private_external_address_is_no_mapping_and_is_explained(
    host: str, autojump_clock: trio.testing.MockClock
) -> None:
    router = ScriptedRouter("PCP", [Granted(host, 40_000, 600)])
    world = World(router)
    await world.run(10)
    assert world.changes == []
    assert host in world.mapper.explanation
    assert "carrier-grade NAT" in world.mapper.explanation
    assert router.removed == [Wanted("udp", 5_060, 40_000)]


@pytest.mark.parametrize(
    "granted", [Granted("", 1, 1), Granted("0.0.0.0", 1, 1), Granted("20.1.1.1", 0, 1), Granted("20.1.1.1", 1, 0)]
)
async def test_what_a_router_says_is_checked(granted: Granted, autojump_clock: trio.testing.MockClock) -> None:
    world = World(ScriptedRouter("UPnP", [granted]))
    await world.run(10)
    assert world.mapper.mapping is None
    assert "no public address of its own" in world.mapper.explanation


async def test_silence_does_not_end_a_mapping_before_its_lifetime_and_a_refusal_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    silent = World(ScriptedRouter("PCP", [Granted("20.1.1.1", 40_000, 600), SILENCE]))
    await silent.run(500, lambda: silent.changes.append(silent.mapper.mapping))
    assert None not in silent.changes[:2]
    late = World(ScriptedRouter("PCP", [Granted("20.1.1.1", 40_000, 600), SILENCE]))
    await late.run(2_500, lambda: late.changes.append(late.mapper.mapping))
    assert late.changes[1:] == [None, None]
    refused = World(ScriptedRouter("PCP", [Granted("20.1.1.1", 40_000, 600), REFUSAL]))
    await refused.run(200, lambda: refused.changes.append(refused.mapper.mapping))
    assert refused.changes[1:] == [None, None]


async def test_another_network_is_asked_at_once(autojump_clock: trio.testing.MockClock) -> None:
    router = ScriptedRouter("PCP", [Granted("20.1.1.1", 40_000, 600)])
    world = World(router)

    def move() -> None:
        world.gateway = Gateway("192.168.2.1", "192.168.2.10")
        world.mapper.network_changed()

    start = trio.current_time()
    await world.run(40, move)
    assert [at - start for at, _wanted, _lifetime in router.asked] == pytest.approx([0, 20], abs=0.01)
    assert len(world.changes) == 4


async def test_a_tcp_port_is_mapped_beside_and_may_be_refused(autojump_clock: trio.testing.MockClock) -> None:
    both = World(ScriptedRouter("PCP", [Granted("20.1.1.1", 1, 600), Granted("20.1.1.1", 2, 600)]), tcp_number=443)
    found: list[Mapping | None] = []
    await both.run(10, lambda: found.append(both.mapper.tcp_mapping))
    assert found[0] is not None
    assert found[0].external == ("20.1.1.1", 2)
    one = World(ScriptedRouter("PCP", [Granted("20.1.1.1", 1, 600), REFUSAL]), tcp_number=443)
    await one.run(10, lambda: found.extend((one.mapper.mapping, one.mapper.tcp_mapping)))
    assert found[1] is not None
    assert found[2] is None


def test_each_protocol_can_be_chosen() -> None:
    chance = Chance.seeded(1)
    assert tuple(router.name for router in routers_of(HOME, chance)) == PROTOCOLS
    assert [router.name for router in routers_of(None, chance)] == ["UPnP"]
    assert [router.name for router in routers_of(HOME, chance, ["NAT-PMP"])] == ["NAT-PMP"]
    assert MappingTimes().check_seconds < LIFETIME_SECONDS / 2


def test_the_default_route_is_read_here() -> None:
    gateway = default_gateway()
    assert gateway is None or gateway.host != gateway.local


class ScriptedGateway:
    """A UDP socket on loopback that gives the next answers to each datagram."""

    def __init__(self, answers: Sequence[Sequence[bytes]]) -> None:
        self._answers = list(answers)
        self._sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        self.asked: list[bytes] = []

    async def open(self) -> tuple[Gateway, int]:
        await self._sock.bind(("127.0.0.1", 0))
        return Gateway("127.0.0.1", "127.0.0.1"), self._sock.getsockname()[1]

    async def run(self) -> None:
        with self._sock:
            for answers in self._answers:
                data, source = await self._sock.recvfrom(2_048)
                self.asked.append(data)
                for answer in answers:
                    await self._sock.sendto(answer, source)


PMP_GRANT = pmp_answer(1, (5_060).to_bytes(2, "big") + (40_000).to_bytes(2, "big") + (600).to_bytes(4, "big"))
PMP_ADDRESS = pmp_answer(0, bytes((20, 1, 1, 1)))
WANTED = Wanted("udp", 5_060, 5_060)


async def ask(router: Callable[[Gateway, int], Router], answers: Sequence[Sequence[bytes]]) -> Granted:
    scripted = ScriptedGateway(answers)
    gateway, port = await scripted.open()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scripted.run)
            granted = await router(gateway, port).map(WANTED, 600)
            nursery.cancel_scope.cancel()
    return granted


class FixedChance(Chance):
    def bytes(self, count: int) -> bytes:
        return bytes(range(count))


def pcp(gateway: Gateway, port: int) -> Router:
    return PcpRouter(gateway, FixedChance.seeded(1), port=port)


def pmp(gateway: Gateway, port: int) -> Router:
    return NatPmpRouter(gateway, port=port)


async def test_pcp_passes_over_strange_answers_and_repeats() -> None:
    strange = [b"", b"\2", b"\2\x81" + bytes(58), pcp_answer(nonce=bytes(12))]
    assert await ask(pcp, [[], [*strange, pcp_answer()]]) == Granted("20.1.1.1", 40_000, 600)


async def test_nat_pmp_asks_twice() -> None:
    assert await ask(pmp, [[PMP_ADDRESS], [PMP_ADDRESS, PMP_GRANT]]) == Granted("20.1.1.1", 40_000, 600)


@pytest.mark.parametrize("make", [pcp, pmp])
async def test_a_closed_port_is_no_answer_at_once(make: Callable[[Gateway, int], Router]) -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with trio.fail_after(1), pytest.raises(RemoteError) as caught:
        await make(Gateway("127.0.0.1", "127.0.0.1"), port).map(WANTED, 600)
    assert caught.value.status == 504


class ScriptedDevice:
    """What miniupnpc gives for a router, with its habits: bare exceptions, None for no entry."""

    lanaddr = "192.168.1.10"

    def __init__(self, *, taken: int = 0, permanent_only: bool = False, external: object = "20.1.1.1") -> None:
        self.taken = taken
        self.permanent_only = permanent_only
        self.external = external
        self.entries: dict[tuple[object, object], tuple[object, ...]] = {}

    def externalipaddress(self) -> object:
        return self.external

    def getspecificportmapping(self, port: int, transport: str) -> tuple[object, ...] | None:
        if self.taken:
            self.taken -= 1
            return "192.168.1.77", 1, "", True, 0
        return self.entries.get((port, transport))

    def addportmapping(self, *entry: object) -> bool:
        if self.permanent_only and entry[-1]:
            raise Exception("OnlyPermanentLeasesSupported")
        self.entries[entry[:2]] = entry[2:]
        return True

    def deleteportmapping(self, port: int, transport: str) -> bool:
        if self.entries.pop((port, transport), None) is None:
            raise Exception("NoSuchEntryInArray")
        return True


def upnp(device: ScriptedDevice) -> UpnpRouter:
    return UpnpRouter(HOME, Chance.seeded(1), find=lambda _local: device)


async def test_upnp_maps_renews_and_removes() -> None:
    device = ScriptedDevice()
    router = upnp(device)
    for _number in range(2):
        assert await router.map(WANTED, 600) == Granted("20.1.1.1", 5_060, 600)
    assert device.entries == {(5_060, "UDP"): ("192.168.1.10", 5_060, "p2psip", "", 600)}
    await router.unmap(WANTED)
    assert device.entries == {}
    with pytest.raises(RemoteError, match="NoSuchEntryInArray"):
        await router.unmap(WANTED)


async def test_upnp_takes_another_port_and_a_lease_for_ever() -> None:
    device = ScriptedDevice(taken=UPNP_PORTS_TRIED_MAX - 1, permanent_only=True)
    granted = await upnp(device).map(WANTED, 600)
    assert granted.port >= 49_152
    assert device.entries[granted.port, "UDP"][-1] == 0
    with pytest.raises(RemoteError) as caught:
        await upnp(ScriptedDevice(taken=UPNP_PORTS_TRIED_MAX)).map(WANTED, 600)
    assert caught.value.status == 403


async def test_a_device_that_answers_rubbish_is_refused() -> None:
    device = ScriptedDevice()
    device.getspecificportmapping = lambda *_arguments: b"\xff".decode()  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(RemoteError):
        await upnp(device).map(WANTED, 600)
