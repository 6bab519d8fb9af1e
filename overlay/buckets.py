"""The routing table: Kademlia's buckets (Maymounkov and Mazieres, 2002, §2.4), with an exact search for the closest.

`kademlia`'s own RoutingTable misses most of the true closest and costs 50 µs for each contact added, so the table here is
plain: a list per bucket. kademlia's `Node` and `NodeHeap` are the oracle in its tests.
"""

from collections.abc import Iterator

from overlay.contact import Contact, network_of
from p2psip.base.core import Address

BITS = 160
BUCKET_CONTACTS_MAX = 40
TABLE_CONTACTS_MAX = 2_000
NETWORK_CONTACTS_MAX = 10
FAILURES_MAX = 2
LACK_MIN = 4
FAR_BUCKETS = 2
FAR_CONTACTS = 4


class RoutingTable:
    """Verified peers by the highest bit in which their Node-ID differs from `own`, that of this node.

    `gone` counts those that were forgotten because they did not answer.
    """

    __slots__ = ("_buckets", "_contacts", "_failed", "_networks", "_used", "gone", "own")

    def __init__(self, own: int) -> None:
        self.own = own
        self.gone = 0
        self._buckets: dict[int, list[Contact]] = {}  # by the index of the bit, those in use only
        self._contacts: dict[bytes, Contact] = {}
        self._networks: dict[str, int] = {}
        self._used = 0
        self._failed = 0  # a bit for each bucket in which some contact may have failures

    def __len__(self) -> int:
        return len(self._contacts)

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._contacts.values())

    def get(self, contact: Contact) -> Contact | None:
        """The contact of the same node that the table holds."""
        return self._contacts.get(contact.node_key)

    def find(self, node_key: bytes) -> Contact | None:
        """The contact with this node key."""
        return self._contacts.get(node_key)

    def add(self, contact: Contact) -> bool:
        """Hold a peer that has answered and shown its certificate; False when there is no room for it.

        A full bucket keeps those it has, for who has been there long will stay; a contact that fails makes room.
        """
        held = self.get(contact)
        if held is not None:
            held.failures, held.last_seen = 0, contact.last_seen
            self.move(held, contact.address)
            return True
        if not self.has_room(contact):
            return False
        index = self._index(contact.number)
        bucket = self._buckets.get(index, ())
        if len(bucket) >= BUCKET_CONTACTS_MAX:
            self.remove(next(other for other in bucket if other.failures))
        self._buckets.setdefault(index, []).append(contact)
        self._contacts[contact.node_key] = contact
        self._used |= 1 << index
        self._count(contact.address, 1)
        return True

    def move(self, held: Contact, address: Address) -> bool:
        """A peer in the table is at another address now; False, and nothing changed, when that network is full."""
        old, new = network_of(held.address[0]), network_of(address[0])
        if new != old:
            if not self._network_has_room(address):
                return False
            self._count(held.address, -1)
            self._count(address, 1)
        held.address = address
        return True

    def has_room(self, contact: Contact) -> bool:
        """Whether `add` would hold this peer that is not in the table yet."""
        if contact.number == self.own or len(self._contacts) >= TABLE_CONTACTS_MAX:
            return False
        if not self._network_has_room(contact.address):
            return False
        index = self._index(contact.number)
        bucket = self._buckets.get(index, ())
        if len(bucket) < BUCKET_CONTACTS_MAX:
            return True
        if not self._failed >> index & 1:  # the usual case, asked for each request of a node that is not in the table
            return False
        if any(other.failures for other in bucket):
            return True
        self._failed &= ~(1 << index)
        return False

    def note_failed(self, contact: Contact) -> None:
        """A contact has left a request unanswered: it makes room for another, if there is one."""
        if contact.number != self.own:
            self._failed |= 1 << self._index(contact.number)

    def remove(self, contact: Contact) -> None:
        """Forget a peer."""
        held = self._contacts.pop(contact.node_key, None)
        if held is None:
            return
        self.gone += held.failures > 0
        index = self._index(contact.number)
        bucket = self._buckets[index]
        bucket.remove(held)
        if not bucket:
            del self._buckets[index]
            self._used &= ~(1 << index)
        self._count(held.address, -1)

    def find_closest(self, target: int, count: int) -> list[Contact]:
        """Exactly the `count` contacts closest to `target`, closest first.

        Where bit i of (own XOR target) is set, all of bucket i is closer than all that follows: those buckets come first,
        from the highest bit down; then the others, from the lowest up.
        """
        found: list[Contact] = []
        buckets, used, difference = self._buckets, self._used, self.own ^ target
        closer, farther = used & difference, used & ~difference
        while closer or farther:
            if closer:
                index = closer.bit_length() - 1
                closer ^= 1 << index
            else:
                lowest = farther & -farther
                farther ^= lowest
                index = lowest.bit_length() - 1
            by_distance = {contact.number ^ target: contact for contact in buckets[index]}
            found += [by_distance[distance] for distance in sorted(by_distance)]
            if len(found) >= count:
                del found[count:]
                break
        return found

    def far_from(self, target: int) -> list[Contact]:
        """The FAR_CONTACTS closest to `target` of each far bucket, where the table is the hardest to fill for one attacker."""
        far = [self._buckets.get(BITS - 1 - bit, []) for bit in range(FAR_BUCKETS)]
        return [
            contact
            for bucket in far
            for contact in sorted(bucket, key=lambda contact: contact.number ^ target)[:FAR_CONTACTS]
        ]

    def bucket_that_lacks(self, nodes: float) -> int | None:
        """The bucket that lacks the most contacts in a network of so many nodes; None when none lacks LACK_MIN."""
        lacks: list[tuple[int, int]] = []
        for index in range(BITS - 1, -1, -1):
            nodes /= 2
            if nodes < LACK_MIN:
                break
            lacks.append((min(BUCKET_CONTACTS_MAX, int(nodes)) - len(self._buckets.get(index, ())), index))
        lack, index = max(lacks, default=(0, 0))
        return index if lack >= LACK_MIN else None

    def target_in(self, index: int | None, draw: int) -> int:
        """A number inside a bucket, to refresh it with a lookup; None: one of those in use. Chosen by `draw`."""
        if index is None:
            used = sorted(self._buckets) or [BITS - 1]
            index = used[draw % len(used)]
        return self.own ^ (1 << index) ^ (draw & (1 << index) - 1)

    def _network_has_room(self, address: Address) -> bool:
        network = network_of(address[0])
        return network is None or self._networks.get(network, 0) < NETWORK_CONTACTS_MAX

    def _count(self, address: Address, change: int) -> None:
        network = network_of(address[0])
        if network is not None:
            self._networks[network] = self._networks.get(network, 0) + change
            if not self._networks[network]:
                del self._networks[network]

    def _index(self, number: int) -> int:
        return (number ^ self.own).bit_length() - 1
