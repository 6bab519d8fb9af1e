"""Hostile nodes that lead astray: they name accomplices, or nodes that do not exist, and crowd around a key or a victim."""

import hashlib

from overlay.buckets import BUCKET_CONTACTS_MAX
from overlay.rpc import PING
from p2psip.base.chance import Chance
from p2psip.base.keys import KEY_BYTES, NODE_ID_BYTES, NodeKey
from simulations.hostile.grinding import bits_for, grind
from simulations.hostile.hostile import CONTACTS_NAMED, Gang, Hostile, packed_contact
from simulations.hostile.lying import Asked
from simulations.hostile.ring import Ring
from simulations.hostile.silent import Suppressor
from simulations.nodes import Node

INVENTED_MAX = 262_144
INVENTED_FOR_EACH = 16
"""So many for each node there is, and (nearly) always eight of them are closer to a target than any that exists."""
CROWD_SECONDS = 15.0


class Poisoner(Hostile):
    """Names only accomplices, those closest to what is looked for."""

    def name_contacts(self, asked: Asked, target: bytes, honest: list[bytes]) -> list[bytes]:
        """Accomplices."""
        self.did("poisoned")
        return self.gang.closest(target)


class Inventor(Hostile):
    """Names nodes that do not exist, closer to the target than any that does: each costs the asker a time-out."""

    def name_contacts(self, asked: Asked, target: bytes, honest: list[bytes]) -> list[bytes]:
        """Nobody."""
        self.did("invented")
        return self.gang.shared("invented", self._invent).near(target, CONTACTS_NAMED)

    def _invent(self) -> "Invented":
        count = INVENTED_FOR_EACH * max(16, len(self.gang.swarm.alive))
        return Invented(self.gang.chance.child("invented"), count)


class Conspirator(Poisoner, Suppressor):
    """All at once: names accomplices only, shows no record and holds none. What the hostile share of a population is made of."""


class Sybil(Suppressor):
    """One of many ids ground out next to a key: for that key it shows nothing and names only the others; else it is a good node."""

    def name_contacts(self, asked: Asked, target: bytes, honest: list[bytes]) -> list[bytes]:
        """The other Sybils, to who looks for the key."""
        if not self.gang.is_after(target):
            return honest
        self.did("poisoned")
        return self.gang.closest(target)


class Eclipser(Hostile):
    """Crowds into the table of one victim (`victim` of the gang's kind, see `eclipse`), and names only accomplices to it."""

    every = CROWD_SECONDS
    victim: Node

    def name_contacts(self, asked: Asked, target: bytes, honest: list[bytes]) -> list[bytes]:
        """To the victim: accomplices."""
        if asked.sender != self.victim.key:
            return honest
        self.did("poisoned")
        return self.gang.closest(target)

    def show_records(self, asked: Asked, key: bytes, honest: list[bytes]) -> list[bytes]:
        """To the victim: none."""
        return [] if asked.sender == self.victim.key else honest

    def act(self, now: float) -> None:
        """Ask the victim something, so that it takes us into its table."""
        if self.victim.alive:
            self.did("crowded")
            self.ask(self.victim, PING, [], now)


def sybils(gang: Gang, key: bytes, count: int = 60, *, bits: int | None = None) -> list[Hostile]:
    """Start `count` Sybils ground out next to `key`, closer than (nearly) all nodes there are unless `bits` says how close."""
    gang.targets |= {key}
    return gang.recruit_near(Sybil, key, count, bits or bits_for(len(gang.swarm.alive)))


def eclipse(gang: Gang, victim: Node, count: int) -> list[Hostile]:
    """Start `count` Eclipsers around a victim: enough for each bucket of its table, the closest bucket first."""
    kind = type("Eclipser", (Eclipser,), {"victim": victim})
    depth, chance = bits_for(len(gang.swarm.alive)), gang.chance.child(f"eclipse {victim.number}")
    keys: list[NodeKey] = []
    while len(keys) < count and depth >= 0:
        wanted = min(BUCKET_CONTACTS_MAX, count - len(keys))
        keys += grind(_in_bucket(victim.node_id, depth), wanted, depth + 1, chance.child(f"bucket {depth}"))
        depth -= 1
    return gang.recruit_keys(kind, keys)


class Invented:
    """Node keys of nobody, at addresses where nobody is (203.0.113.0/24 is for documentation, RFC 5737); INVENTED_MAX at most."""

    def __init__(self, chance: Chance, count: int) -> None:
        keys = [chance.bytes(KEY_BYTES) for _ in range(min(count, INVENTED_MAX))]
        self._ring = Ring((_number(hashlib.sha256(key).digest()[:NODE_ID_BYTES]), key) for key in keys)

    def __len__(self) -> int:
        return len(self._ring)

    def near(self, target: bytes, count: int) -> list[bytes]:
        """`count` packed contacts closest to `target`."""
        keys = self._ring.near(_number(target), count)
        return [packed_contact(key, (f"203.0.113.{1 + key[0] % 254}", 5_000)) for key in keys]


def _number(node_id: bytes) -> int:
    return int.from_bytes(node_id, "big")


def _in_bucket(node_id: bytes, depth: int) -> bytes:
    """An id that shares exactly `depth` leading bits with another."""
    return (int.from_bytes(node_id, "big") ^ 1 << (8 * NODE_ID_BYTES - 1 - depth)).to_bytes(NODE_ID_BYTES, "big")
