"""One household: a whole node as `p2psip up` runs it, on its own machine, behind its NAT, with a phone."""

from dataclasses import dataclass

import trio

from overlay.reachability import Role
from p2psip.app.machine import Machine
from p2psip.app.node import Node
from p2psip.app.settings import Settings
from p2psip.app.state import Membership
from p2psip.app.state import Phone as PhoneAccount
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.sip.digest import digest_secret
from p2psip.softphone.phone import Credentials
from simulations.network.endpoint import Endpoint
from simulations.village.clock import VirtualClock
from simulations.village.lan import NODE_HOST, Lan
from simulations.village.machine import MemoryState
from simulations.village.phone import Phone

SIP_PORT = 5_060
REGISTER_SECONDS = 3_600
RETRY_SECONDS = 5.0
PASSWORD_BYTES = 12
RELAY_PORTS = (50_000, 59_999)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the people of a household have decided. `megabits_max` and `allocations_max` bound what a volunteer relays."""

    volunteer: bool = False
    ring_seconds: float | None = 3.0
    allocations_max: int = 200
    megabits_max: float = 20.0


class Household:
    """A node and its phone. `run` serves; `is_ready` is set once the phone is registered and others can call it."""

    def __init__(
        self, number: int, membership: Membership, endpoint: Endpoint, lan: Lan, clock: VirtualClock, chance: Chance
    ) -> None:
        self.number = number
        self.membership = membership
        self.endpoint = endpoint
        self.lan = lan
        self.clock = clock
        self.chance = chance
        self.address = membership.addresses[0]
        self.node: Node | None = None
        self.phone: Phone | None = None
        self.started_at: float | None = None
        self.joined_at: float | None = None
        self.registered_at: float | None = None
        self.published_at: float | None = None
        self.scope: trio.CancelScope | None = None

    @property
    def nat(self) -> str:
        """The kind of its NAT."""
        return self.endpoint.kind.name

    @property
    def role(self) -> Role | None:
        """What the overlay takes it for; None before it runs."""
        return None if self.node is None else self.node.overlay.verdict.role

    def introduction(self) -> tuple[bytes, Address]:
        """How others reach its node, if it is public."""
        assert self.node is not None
        return self.node.overlay.peer.node_key.public, self.endpoint.address

    async def run(self, machine: Machine, introducers: list[tuple[bytes, Address]], wishes: Wishes) -> None:
        """Start the node, join, register the phone, and serve until cancelled."""
        name = self.address.partition("@")[0]
        password = self.chance.child("password").token(PASSWORD_BYTES)
        realm = self.address.partition("@")[2]
        state = MemoryState(introducers)
        secret = digest_secret("MD5", name, realm, password)
        state.add_phone(PhoneAccount(name, self.address, "MD5", secret, 0))
        self.started_at = self.clock.now()
        with trio.CancelScope() as self.scope:
            node = self.node = Node(
                machine, settings_for(wishes), state, self.membership, self.clock, self.chance.child("node")
            )
            credentials = Credentials(name, self.address, password, (NODE_HOST, SIP_PORT))
            phone = Phone(
                credentials, self.lan, self.clock, self.chance.child("phone"), ring_seconds=wishes.ring_seconds
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(node.run)
                await nursery.start(phone.run)
                self.phone = phone
                if await node.join():
                    self.joined_at = self.clock.now()
                await phone.register(REGISTER_SECONDS)
                self.registered_at = self.clock.now()
                await self._watch(node)

    async def _watch(self, node: Node) -> None:
        """Note when the household can be called; stay until cancelled."""
        while True:
            if self.joined_at is None and node.overlay.peers():
                self.joined_at = self.clock.now()
            if self.published_at is None and node.calls.status()["published"] and self.joined_at is not None:
                self.published_at = self.clock.now()
                await trio.sleep_forever()
            await trio.sleep(1.0)


def settings_for(wishes: Wishes) -> Settings:
    """What `p2psip.toml` would say."""
    return Settings.model_validate(
        {
            "sip": {"host": NODE_HOST, "port": SIP_PORT},
            "network": {"port_mapping": False},
            "relay": {
                "volunteer": wishes.volunteer,
                "allocations_max": wishes.allocations_max,
                "megabits_max": wishes.megabits_max,
                "first_port": RELAY_PORTS[0],
                "last_port": RELAY_PORTS[1],
                "on_battery": True,
            },
        }
    )
