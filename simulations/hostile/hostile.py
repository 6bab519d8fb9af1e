"""A hostile member of the overlay: a simulated node whose answers pass through hooks, and the gang that it belongs to.

A hostile node is enrolled like any other: real keys, a real certificate, and the core of production underneath. Overwrite a hook:

    class Miser(Hostile):
        def show_records(self, asked, key, honest):
            return []

    gang = Gang(swarm)
    swarm.grow(20, node_class=gang.of(Miser), nat=PUBLIC)

A node behind a NAT becomes a client, which nobody asks anything: hostile nodes do their evil from public addresses.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar, cast

from overlay.contact import Contact
from overlay.participant import Participant
from overlay.rpc import FIND, OK
from p2psip.base.core import Address
from p2psip.base.keys import NodeKey
from simulations.enrolment import Device
from simulations.hostile.grinding import grind
from simulations.hostile.lying import Asked, Reply, corrupt
from simulations.hostile.ring import Ring
from simulations.network.endpoint import Endpoint
from simulations.network.nat import PUBLIC
from simulations.nodes import Node
from simulations.swarm import Swarm

T = TypeVar("T")

CONTACTS_NAMED = 8
"""As many as an honest answer names (`overlay.holder.CONTACTS_PER_ANSWER`)."""


class Hostile(Node):
    """A node that may lie. `every`: seconds between two calls of `act`, None for never."""

    hostile = True
    every: float | None = None
    gang: ClassVar["Gang"]

    def __init__(self, number: int, person: str, device: Device, endpoint: Endpoint) -> None:
        super().__init__(number, person, device, endpoint)
        self.wants_registration = False  # so that nobody is expected to be found here
        self.chance = self.gang.chance.child(f"node {number}")

    # --- hooks

    def prepare(self, core: Participant) -> None:
        """The node is switched on: this is its core, which has done nothing yet."""

    def holds(self, asked: Asked) -> bool:
        """Whether a record that is to be stored (packed: `asked.arguments[0]`) is really held."""
        return True

    def reply(self, asked: Asked, honest: Reply) -> Reply | None:
        """What to answer; None: nothing. As it is, the answers to FIND are altered by the two hooks below."""
        match asked.method, asked.arguments, honest.result:
            case (method, [bytes() as target, *_], [list() as contacts, list() as records, *left]) if (
                method == FIND and honest.status == OK
            ):
                named = self.name_contacts(asked, target, contacts)
                return Reply(OK, [named, self.show_records(asked, target, records), *left])
        return honest

    def name_contacts(self, asked: Asked, target: bytes, honest: list[bytes]) -> list[bytes]:
        """Which contacts (packed) to name to somebody who looks for `target`."""
        return honest

    def show_records(self, asked: Asked, key: bytes, honest: list[bytes]) -> list[bytes]:
        """Which records (packed) to show to somebody who looks for `key`."""
        return honest

    def act(self, now: float) -> None:
        """Do something unasked; called each `every` seconds while the node is up."""

    # --- tools

    def ask(self, other: Node, method: int, arguments: list[Any], now: float) -> int:
        """Send a request (`overlay.rpc`) to a node; `RequestDone` with this number comes to `take`."""
        return self.core.peer.request(other.key, other.endpoint.address, method, arguments, now)

    def did(self, deed: str, count: int = 1) -> None:
        """Count a deed of the gang."""
        self.gang.deeds[deed] = self.gang.deeds.get(deed, 0) + count

    # --- inside

    @property
    def core(self) -> Participant:
        """The real core, its answers corrupted."""
        return self._core

    @core.setter
    def core(self, core: Participant) -> None:
        self._core = core
        corrupt(core.peer, self)
        self.prepare(core)
        self.gang.started(self)


class Gang:
    """Hostile nodes that know one another. `deeds` counts what they did; `targets`: the keys that they are after, empty for all."""

    def __init__(self, swarm: Swarm, name: str = "gang", *, targets: Iterable[bytes] = ()) -> None:
        self.swarm = swarm
        self.name = name
        self.chance = swarm.world.chance.child(name)
        self.members: list[Hostile] = []
        self.deeds: dict[str, int] = {}
        self.targets = frozenset(targets)
        self._known: set[int] = set()
        self._shared: dict[str, Any] = {}
        self._ring: Ring[Hostile] = Ring()

    def of(self, kind: type[Hostile]) -> type[Hostile]:
        """This kind of hostile node as a member of this gang, for `node_class` of `Swarm.add` and `Swarm.grow`."""
        return cast(type[Hostile], type(kind.__name__, (kind,), {"gang": self}))

    def recruit(self, kind: type[Hostile], count: int, **fields: Any) -> list[Hostile]:
        """Start so many at once, at public addresses if nothing else is said."""
        nodes = [self.swarm.add(node_class=self.of(kind), **{"nat": PUBLIC, **fields}) for _ in range(count)]
        return self._start(nodes)

    def recruit_near(self, kind: type[Hostile], target: bytes, count: int, bits: int, **fields: Any) -> list[Hostile]:
        """Start so many whose Node-IDs were ground out until they share `bits` bits with `target`."""
        keys = grind(target, count, bits, self.chance.child(f"ground {len(self._known)} {target.hex()}"))
        return self.recruit_keys(kind, keys, **fields)

    def recruit_keys(self, kind: type[Hostile], keys: Iterable[NodeKey], **fields: Any) -> list[Hostile]:
        """Start one for each of these node keys, certified by the authority for a person of its own."""
        swarm, nodes = self.swarm, []
        for key in keys:
            person = f"{self.name}{len(swarm.nodes)}"
            device = swarm.enrolment.device(person, node_key=key)
            fields = {"nat": PUBLIC, **fields, "person": person, "device": device}
            nodes.append(swarm.add(node_class=self.of(kind), **fields))
        return self._start(nodes)

    def is_after(self, key: bytes) -> bool:
        """Whether the gang attacks this key."""
        return not self.targets or key in self.targets

    def closest(self, target: bytes, count: int = CONTACTS_NAMED) -> list[bytes]:
        """The accomplices (packed contacts) closest to `target`, closest first."""
        near = self._ring.near(int.from_bytes(target, "big"), count, _is_up)
        return [packed_contact(node.key, node.endpoint.address) for node in near]

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """Something that the gang makes once, when a member needs it first."""
        if name not in self._shared:
            self._shared[name] = make()
        return cast(T, self._shared[name])

    def honest(self) -> list[Node]:
        """All nodes that are up and not hostile."""
        return [node for node in self.swarm.alive if not node.hostile]

    def started(self, node: Hostile) -> None:
        """A member was switched on."""
        if node.number not in self._known:
            self._known.add(node.number)
            self.members.append(node)
            self._ring.add(int.from_bytes(node.node_id, "big"), node)
        if node.every is None:
            return
        starts, world, every = node.starts, self.swarm.world, node.every

        def act() -> None:
            if node.alive and node.starts == starts:
                node.act(world.now)
                world.pump(node)
                world.after(every, act)

        world.after(node.chance.uniform(0, every), act)

    def _start(self, nodes: Iterable[Node]) -> list[Hostile]:
        started = [node for node in nodes if isinstance(node, Hostile)]
        for node in started:
            self.swarm.start(node)
        return started


def packed_contact(node_key: bytes, address: Address) -> bytes:
    """A contact as answers name it."""
    return Contact(node_key, address).pack()


def _is_up(node: Hostile) -> bool:
    return node.alive
