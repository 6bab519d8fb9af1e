"""Real `p2psip` processes and real phones in the sites of a laboratory: a bootstrap server, super-nodes, a node at each site.

Everything is started as a person starts it, each in its namespace. Only joining and the phones' accounts are done by the same
functions without a process for each, because twenty Python processes cost twenty seconds here.
"""

import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from media.tones import tone
from media.wav import write_wav
from p2psip.app.control import ask
from p2psip.app.hosting import make_invite_link
from p2psip.app.joining import join_overlay
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from p2psip.app.phones import add_phone
from p2psip.app.state import State
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from tests.interop.baresip import Baresip, baresip
from tests.nat.kinds import Kind
from tests.nat.lab import Lab, Plan, Site

Result = TypeVar("Result")

BOOTSTRAP = "bootstrap"
SUPER_NODES = ("super1", "super2", "super3", "super4")
SPEAKS_SECONDS = 30.0
FIRST_HERTZ, STEP_HERTZ = 300, 100
READY_SECONDS_MAX = 60.0
INVITE_SECONDS = 3_600.0
STARTED_AT_ONCE = 4
VOLUNTEER = "[relay]\nvolunteer = true\n"
_hertz = itertools.cycle(range(FIRST_HERTZ, 3_000, STEP_HERTZ))


@dataclass(slots=True)
class House:
    """A host of a site with its node and its phone, which speaks a tone of its own."""

    name: str
    site: Site
    host: int
    node: NodeProcess
    account: PhoneAccount
    hertz: int
    phones: list[Baresip] = field(default_factory=list)

    @property
    def phone(self) -> Baresip:
        """Its one baresip."""
        return self.phones[0]

    @property
    def sip(self) -> str:
        """The address to call."""
        return self.account.address

    async def ask(self, command: str, **arguments: Any) -> Any:
        """A command of the node's control socket, which is a file and needs no namespace."""
        return await ask(self.node.home, command, **arguments)


class SpreadNetwork(LocalNetwork):
    """A network of processes that run in sites; `places` says which folder belongs to which host."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        super().__init__(folder)
        self._lab = lab
        self._places: dict[Path, list[str]] = {}

    def program(self, home: Path) -> list[str]:
        """`p2psip` at the host that the folder belongs to."""
        return [*self._places.get(home, ()), *super().program(home)]

    async def start_bootstrap(self, *, port: int = 443) -> NodeProcess:
        """The bootstrap server at its public host: HTTPS where every firewall lets it pass, both address families."""
        site = self._lab[BOOTSTRAP]
        home = self._place(BOOTSTRAP, site, 0)
        hosts = ["--host", site.ipv4, "--host", site.ipv6]
        return await self.start(BOOTSTRAP, home, ["bootstrap", self.overlay, *hosts, "--port", str(port)])

    async def settle(self, name: str, site: Site, host: int = 0, settings: str = "") -> NodeProcess:
        """Join as `name` at a host of a site, and start the node there."""
        home = self._place(name, site, host)
        home.mkdir(parents=True, exist_ok=True)
        (home / "p2psip.toml").write_text(settings)
        await inside(site, host, lambda: trio.run(self._join, home, name))
        return await self.start(name, home, ["up"])

    async def _join(self, home: Path, name: str) -> None:
        clock = Clock()
        link = make_invite_link(self.folder / BOOTSTRAP, INVITE_SECONDS, int(clock.unix()))
        await join_overlay(home, link, name, None, clock=clock, chance=Chance.system())

    def _place(self, name: str, site: Site, host: int) -> Path:
        home = self.folder / name
        self._places[home] = site.hosts[host].prefix
        return home


async def inside(site: Site, host: int, function: Callable[[], Result]) -> Result:
    """Run `function` in a thread at a host of a site."""
    return await trio.to_thread.run_sync(site.hosts[host].run, function)


def phone_account(node: NodeProcess) -> PhoneAccount:
    """A new account at a node, as `p2psip phone add` makes it."""
    state = State(node.home)
    try:
        new = add_phone(
            state, state.require_membership().addresses[0], None, "MD5", int(Clock().unix()), Chance.system()
        )
    finally:
        state.close()
    return PhoneAccount(new.phone.name, new.phone.address, new.password, node.sip)


@dataclass(slots=True)
class Town:
    """A laboratory with everything in it that is needed for calls."""

    lab: Lab
    network: SpreadNetwork
    super_nodes: dict[str, NodeProcess] = field(default_factory=dict)
    houses: dict[str, House] = field(default_factory=dict)

    def __getitem__(self, name: str) -> House:
        return self.houses[name]

    async def wait_settled(self) -> None:
        """Until every phone is registered and every node knows what it is: a peer, or a client of some super-nodes."""
        async with trio.open_nursery() as nursery:
            for house in self.houses.values():
                nursery.start_soon(_wait_settled, house)

    def super_nodes_in(self, facts: object) -> list[NodeProcess]:
        """The super-nodes whose addresses stand in these facts."""
        text = json.dumps(facts)
        sites = {name: self.lab[name] for name in self.super_nodes}
        return [self.super_nodes[name] for name, site in sites.items() if site.ipv4 in text or f"{site.ipv6}]" in text]


async def _wait_settled(house: House) -> None:
    with trio.move_on_after(READY_SECONDS_MAX):
        while True:
            status = await house.ask("status")
            if status["phones"] and status["node"]["published"] and _has_rendezvous(status):
                return
            await trio.sleep(0.2)
    raise AssertionError(f"{house.name} ({house.site.kind.value}) is not settled: {status['node']} {status['overlay']}")


def _has_rendezvous(status: dict[str, Any]) -> bool:
    is_client = str(status["overlay"].get("role", "")).startswith("client")
    return not is_client or bool(status["rendezvous"])


def town_plans(homes: Sequence[Plan], super_nodes: int = len(SUPER_NODES), hosts: Sequence[str] = ()) -> list[Plan]:
    """The public hosts of a town, and the sites of its homes."""
    public = [BOOTSTRAP, *SUPER_NODES[:super_nodes], *hosts]
    return [*(Plan(name, Kind.PUBLIC) for name in public), *homes]


@asynccontextmanager
async def town(
    folder: Path,
    homes: Sequence[Plan],
    *,
    super_nodes: int = len(SUPER_NODES),
    one_way_seconds: float = 0.0,
    hosts: Sequence[str] = (),
    volunteer: Callable[[Lab, str], str] = lambda _lab, _name: VOLUNTEER,
) -> AsyncIterator[Town]:
    """A laboratory with a bootstrap server, super-nodes, and a node and a phone at each host of each home.

    `hosts` are further public hosts, without a node; `volunteer` gives the settings of a super-node.
    """
    with Lab(town_plans(homes, super_nodes, hosts), one_way_seconds=one_way_seconds) as lab:
        network = SpreadNetwork(folder, lab)
        town = Town(lab, network)
        try:
            await network.start_bootstrap()
            await _at_once([_volunteer_starter(town, name, volunteer(lab, name)) for name in SUPER_NODES[:super_nodes]])
            places = [
                (site, host) for site in map(lab.__getitem__, [plan.name for plan in homes]) for host in _hosts(site)
            ]
            await _at_once([_house_starter(town, site, host) for site, host in places])
            async with AsyncExitStack() as stack:
                for house in town.houses.values():
                    house.phones.append(await stack.enter_async_context(_phone(folder, house)))
                await town.wait_settled()
                yield town
        finally:
            await network.close()


def _hosts(site: Site) -> range:
    return range(len(site.hosts))


def _volunteer_starter(town: Town, name: str, settings: str) -> Callable[[], Any]:
    async def start() -> None:
        town.super_nodes[name] = await town.network.settle(name, town.lab[name], settings=settings)

    return start


def _house_starter(town: Town, site: Site, host: int) -> Callable[[], Any]:
    name = site.name if host == 0 else f"{site.name}{host}"
    hertz = next(_hertz)

    async def start() -> None:
        node = await town.network.settle(name, site, host)
        town.houses[name] = House(name, site, host, node, phone_account(node), hertz)

    return start


async def _at_once(starters: Sequence[Callable[[], Any]]) -> None:
    """Run all, STARTED_AT_ONCE at a time: more would only make one another late."""
    limit = trio.Semaphore(STARTED_AT_ONCE)

    async def run(starter: Callable[[], Any]) -> None:
        async with limit:
            await starter()

    async with trio.open_nursery() as nursery:
        for starter in starters:
            nursery.start_soon(run, starter)


@asynccontextmanager
async def _phone(folder: Path, house: House) -> AsyncIterator[Baresip]:
    speech = folder / f"{house.name}.wav"
    write_wav(speech, tone(float(house.hertz), SPEAKS_SECONDS))
    place = house.site.hosts[house.host]
    new_socket = partial(place.socket, kind=socket.SOCK_STREAM)
    home = folder / f"{house.name}-phone"
    async with baresip(home, house.account, speech, prefix=place.prefix, new_socket=new_socket) as phone:
        yield phone
