"""Lookups without sockets, frames or signatures: thousands of ids, tables as Kademlia fills them, and members that lie.

The searches are those of production; here are only the answers of the others, and how long they take. Times are seconds.
"""

import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, cast

from overlay.buckets import BITS, BUCKET_CONTACTS_MAX, RoutingTable
from overlay.contact import Contact
from overlay.events import LookupDone, StoreDone
from overlay.holder import CONTACTS_PER_ANSWER, named
from overlay.records import REGISTRATION, Record, RecordVerifier, decode_record, encode_record
from overlay.rpc import FIND, OK, UNAUTHORIZED, Answer, Callback, Late
from overlay.rtt import RoundTrips
from overlay.searches import Searches, SearchPolicy
from overlay.storing import Stores
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.chance import Chance

UNIX = 1_700_000_000
SEEN = ("192.0.2.1", 5000)
INVENTED_EACH = 8
SAMPLES = 12
WARM_ANSWERS = 20

Answering = Callable[["Ring", int, int, bool], Any]
"""A hostile member's answer to (ring, its index, point asked about, records wanted); None is silence."""


class Verifier:
    """Every record is true, and its author is the one named in it."""

    def verify(self, record: Record, unix: float) -> DeviceCertificate:
        """The author."""
        return cast(DeviceCertificate, _Author(record.certificate))


class _Author:
    def __init__(self, node_id: bytes) -> None:
        self.node_id = node_id


class Ring:
    """An overlay of `nodes` peers. `gone`: which share of the entries of tables has left without a word."""

    def __init__(
        self, seed: int, nodes: int, *, gone: float = 0.1, hostile: float = 0.0, lie: Answering | None = None
    ) -> None:
        self.chance = Chance.seeded(seed).child("ring")
        self.now = 0.0
        self.keys: list[bytes] = []
        self.gone: set[int] = set()
        self.lies: dict[int, Answering] = {}
        self.held: dict[int, dict[bytes, bytes]] = {}
        self.old: dict[int, dict[bytes, bytes]] = {}
        self.late: set[int] = set()
        self.requests = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._tables: dict[int, RoutingTable] = {}
        self._places: list[tuple[float, float, float]] = []
        self._hosts: dict[int, str] = {}
        self._sequence = 0
        self._sorted: list[tuple[int, int]] = []
        for _ in range(nodes):
            self.add(self.chance.bytes(32))
        for _ in range(round(nodes * gone / (1 - gone))):
            self.gone.add(self.add(self.chance.bytes(32)))
        if lie is not None:
            for index in range(round(nodes * hostile)):
                self.lies[index] = lie
        self.nodes = nodes

    def add(self, key: bytes, lie: Answering | None = None, host: str | None = None) -> int:
        """One more peer; its index. Those added after the start are late: others hold them only where there is room."""
        index = len(self.keys)
        self.keys.append(key)
        number = self.number(index)
        self._sorted.insert(bisect_left(self._sorted, (number, index)), (number, index))
        place = self.chance.uniform(0, 1), self.chance.uniform(0, 1), self.chance.uniform(0, 1) ** 3 * 0.06
        self._places.append(place)
        self._hosts[index] = host or f"{20 + index // 60_000}.{index // 240 % 250}.{index % 240}.1"
        if lie is not None:
            self.lies[index] = lie
            self.late.add(index)
            self._tables.clear()
        return index

    def number(self, index: int) -> int:
        """The Node-ID."""
        return int.from_bytes(hashlib.sha256(self.keys[index]).digest()[:20], "big")

    def contact(self, index: int) -> Contact:
        """The peer as others name it."""
        return Contact(self.keys[index], (self._hosts[index], 5000))

    def closest(self, target: int, count: int, *, alive: bool = True) -> list[int]:
        """The indices of the closest peers."""
        bits = BITS
        while bits > 0 and self._count(target, bits) > count * 4 + 16:
            bits -= 1
        inside = [index for number, index in self._slice(target, bits + 2)]
        inside = [index for index in inside if not (alive and index in self.gone)]
        return sorted(inside, key=lambda index: self.number(index) ^ target)[:count]

    def round_trip(self, one: int, other: int) -> float:
        """Of a link."""
        (x, y, first), (v, w, second) = self._places[one], self._places[other]
        return 0.01 + 0.15 * ((x - v) ** 2 + (y - w) ** 2) ** 0.5 + first + second

    @property
    def median_round_trip(self) -> float:
        """Of the median link."""
        links = sorted(self.round_trip(i, (i * 7919 + 13) % self.nodes) for i in range(0, self.nodes, 3))
        return links[len(links) // 2]

    def table(self, index: int) -> RoutingTable:
        """What a peer has in its routing table."""
        if index not in self._tables:
            self._tables[index] = self._fill(index)
        return self._tables[index]

    def searcher(self, index: int, policy: SearchPolicy | None = None, *, samples: int = SAMPLES) -> "Searcher":
        """The searches of one peer that has looked random places up before."""
        searcher = Searcher(self, index, policy)
        for _ in range(samples):
            target = self.chance.integer(BITS)
            closest = [self.number(i) for i in self.closest(target, 8) if i not in self.late]
            searcher.searches.size.observe(target, closest)
        return searcher

    def hold(self, index: int, record: Record) -> None:
        """A peer holds a record; the first that it got of a key is kept apart for those that lie."""
        data = encode_record(record)
        self.old.setdefault(index, {}).setdefault(record.key, data)
        self.held.setdefault(index, {})[record.key] = data

    def honest_holders(self, key: bytes) -> int:
        """How many that do not lie hold a record at the key."""
        return sum(key in records for index, records in self.held.items() if index not in self.lies)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + seconds, self._sequence, action))

    def run(self) -> None:
        """Until nothing happens any more."""
        while self._heap:
            self.now, _sequence, action = heapq.heappop(self._heap)
            action()

    def honest(self, index: int, point: int, target: int, wants: bool) -> Any:
        """What a peer that does not lie answers."""
        contacts = [contact.pack() for contact in named(self.table(index), point)]
        key = target.to_bytes(20, "big")
        record = self.held.get(index, {}).get(key) if wants else None
        return [contacts, [record] if record else []]

    def _count(self, target: int, bits: int) -> int:
        low, high = self._bounds(target, bits)
        return high - low

    def _bounds(self, target: int, bits: int) -> tuple[int, int]:
        if bits >= BITS:
            return 0, len(self._sorted)
        first = target >> bits << bits
        return bisect_left(self._sorted, (first, 0)), bisect_left(self._sorted, (first + (1 << bits), 0))

    def _slice(self, target: int, bits: int) -> list[tuple[int, int]]:
        low, high = self._bounds(target, bits)
        return self._sorted[low:high]

    def _fill(self, index: int) -> RoutingTable:
        own, chance = self.number(index), self.chance.child(f"table {index}")
        table = RoutingTable(own)
        for bit in range(BITS - 1, -1, -1):
            low, high = self._bounds(own ^ 1 << bit, bit)
            if low == high and self._count(own, bit) <= 1:
                break
            ranks = (
                [low + chance.integer(32) % (high - low) for _ in range(60)] if high - low > 60 else range(low, high)
            )
            indices = list(dict.fromkeys(self._sorted[rank][1] for rank in ranks))
            indices = sorted(indices, key=lambda i: i in self.late)[:BUCKET_CONTACTS_MAX]
            for other in indices:
                contact = self.contact(other)
                age = chance.uniform(300, 2_400) if other in self.gone else chance.uniform(0, 1_800)
                contact.last_seen, contact.rtt = self.now - age, self.round_trip(index, other)
                table.add(contact)
        return table


class Searcher:
    """One peer that looks up and stores."""

    def __init__(self, ring: Ring, index: int, policy: SearchPolicy | None) -> None:
        self.ring = ring
        self.index = index
        self.ended: list[LookupDone | StoreDone] = []
        self.trips = RoundTrips()
        table = ring.table(index)
        for contact in list(table)[:WARM_ANSWERS]:
            self.trips.measured(contact.rtt or 0.1)
        verifier = cast(RecordVerifier, Verifier())
        self.searches = Searches(ring.keys[index], table, verifier, self._ask, self._emit, policy)
        self.searches.unix_offset = float(UNIX)
        self.stores = Stores(self.searches, self._emit)
        self._by_key = {key: index for index, key in enumerate(ring.keys)}

    def look_up(self, key: bytes, *, records: bool = True) -> LookupDone:
        """From beginning to end."""
        self.searches.look_up(key, self.ring.now, records=records)
        self.ring.run()
        done = self.ended.pop()
        assert isinstance(done, LookupDone)
        return done

    def store(self, record: Record) -> StoreDone:
        """From beginning to end."""
        self.stores.store(record, self.ring.now)
        self.ring.run()
        done = self.ended.pop()
        assert isinstance(done, StoreDone)
        return done

    def _emit(self, done: LookupDone | StoreDone) -> None:
        self.ended.append(done)

    def _ask(
        self,
        contact: Contact,
        method: int,
        arguments: list[Any],
        callback: Callback,
        now: float,
        late: Late | None = None,
    ) -> None:
        ring, state = self.ring, {"open": True}
        ring.requests += 1
        index = self._by_key.get(contact.node_key)
        result: Any = None
        silent = index is None or index in ring.gone or contact.address[0] != ring.contact(index).address[0]
        if not silent and index is not None:
            result = self._serve(index, method, arguments)
            silent = result is None

        def come() -> None:
            state["open"] = False
            self.searches.now = ring.now
            status = OK if method == FIND else result
            callback(contact, Answer(status, SEEN, b"", None, 1, result if method == FIND else None))

        def tardy() -> None:
            if state["open"] and late is not None:
                self.searches.now = ring.now
                late(contact)

        def lost() -> None:
            self.searches.now = ring.now
            callback(contact, None)

        ring.after(self.trips.retransmit_seconds, tardy)
        if silent:
            ring.after(self.trips.give_up_seconds, lost)
        else:
            assert index is not None
            ring.after(ring.round_trip(self.index, index), come)

    def _serve(self, index: int, method: int, arguments: list[Any]) -> Any:
        ring = self.ring
        lie = ring.lies.get(index)
        if method != FIND:
            record = decode_record(arguments[0][0])
            held = ring.held.get(index, {}).get(record.key)
            if not record.certificate and held is None:
                return UNAUTHORIZED
            ring.hold(index, decode_record(arguments[0][0], decode_record(held).certificate if held else b""))
            return OK
        target = int.from_bytes(arguments[0], "big")
        point = int.from_bytes(arguments[2][0], "big") if len(arguments) > 2 else target
        if lie is not None:
            return lie(ring, index, point, arguments[1])
        return ring.honest(index, point, target, arguments[1])


def record_of(ring: Ring, key: bytes, sequence: int = 1, *, seconds: int = 600) -> Record:
    """A registration at this key that lives on for so long."""
    return Record(REGISTRATION, key, b"author", sequence, UNIX + int(ring.now) + seconds, b"body", bytes(64))


def ground(ring: Ring, target: bytes, count: int, bits: int) -> list[bytes]:
    """Node keys whose Node-IDs share so many bits with the target."""
    wanted, shift, serial = int.from_bytes(target[:8], "big") >> 64 - bits, 64 - bits, ring.chance.integer(128)
    found: list[bytes] = []
    while len(found) < count:
        serial += 1
        key = serial.to_bytes(32, "big")
        if int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> shift == wanted:
            found.append(key)
    return found


# Lies


def silent(_ring: Ring, _index: int, _point: int, _wants: bool) -> Any:
    """Nothing."""
    return None


def denying(ring: Ring, index: int, point: int, _wants: bool) -> Any:
    """No such record; the contacts are true."""
    return ring.honest(index, point, point, False)


def conspiring(ring: Ring, _index: int, point: int, _wants: bool) -> Any:
    """Names accomplices only."""
    others = sorted(ring.lies, key=lambda index: ring.number(index) ^ point)[:CONTACTS_PER_ANSWER]
    return [[ring.contact(index).pack() for index in others], []]


def inventing(ring: Ring, index: int, point: int, _wants: bool) -> Any:
    """Names contacts next to the point that are nobody, others each time: far closer than any peer."""
    return [[pack_near(ring, point) for _ in range(INVENTED_EACH)], []]


def pack_near(ring: Ring, point: int) -> bytes:
    """A contact that is nobody, close to the point among 64 drawn."""
    drawn = [ring.chance.bytes(32) for _ in range(16)]
    key = min(drawn, key=lambda key: int.from_bytes(hashlib.sha256(key).digest()[:20], "big") ^ point)
    return Contact(key, ("198.18.0.1", 5000)).pack()


def stale(ring: Ring, index: int, point: int, wants: bool) -> Any:
    """The first record that it ever got, for ever; the contacts are true."""
    contacts, _records = ring.honest(index, point, point, False)
    old = ring.old.get(index, {}).get(point.to_bytes(20, "big"))
    return [contacts, [old] if old and wants else []]


def misdirecting(ring: Ring, index: int, point: int, _wants: bool) -> Any:
    """Names true peers at addresses where they are not."""
    true = ring.closest(point, CONTACTS_PER_ANSWER)
    return [[Contact(ring.keys[i], ("198.18.0.2", 5000)).pack() for i in true], []]
