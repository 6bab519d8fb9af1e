"""Several ways to one node: what is said to it races over all of them until it is heard, and again when it falls silent.

A way is an `Address`, direct or through a super-node (`overlay.via`). Copies of one sealed frame go over several ways; the
receiver takes the first and drops the others (`overlay.replay`).

- Not heard within HEARD_SECONDS_MAX: all ways.
- Heard lately: the way that it was heard on, and only that.
- Something was said SILENCE_SECONDS ago and nothing was heard since: what was said goes over all other ways too, and so does
  what is said from then on.
- What is heard through a super-node within GRACE_SECONDS was on its way before, and is no answer: the super-node may be dead.
- What is heard through another super-node than those that it was said through is none either: one answers where one was asked.
- A super-node says that the node is not attached there (LOST): what was said goes over all other ways at once, and that way
  is left out for LOST_SECONDS.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from overlay.fragments import FRAGMENTS_MAX
from overlay.heard import HeardAddresses
from overlay.via import is_via
from p2psip.base.core import Address
from p2psip.base.keys import node_id_of
from p2psip.base.timers import Timers

NODES_MAX = 1_024
WAYS_MAX = 12
KEPT_FRAMES_MAX = FRAGMENTS_MAX + 1
SILENCE_SECONDS = 0.4
GRACE_SECONDS = 0.1
KEPT_SECONDS = 3.0
LOST_SECONDS = 5.0
SEEK_SECONDS = 10.0


@dataclass(slots=True)
class _Kept:
    frame: bytes
    at: float
    ways: set[Address]


@dataclass(slots=True)
class _Node:
    told: tuple[Address, ...] = ()
    said_at: float | None = None
    sought_at: float | None = None
    lost: dict[Address, float] = field(default_factory=dict)
    kept: deque[_Kept] = field(default_factory=lambda: deque(maxlen=KEPT_FRAMES_MAX))


class Routes:
    """The ways to the NODES_MAX nodes spoken with last. `forward(node_key, way, frame)` sends a frame over one way;
    `seek(node_key, now)` looks for new ways to a node that none of the known ones reaches."""

    __slots__ = ("_forward", "_heard", "_keys", "_nodes", "_seek", "timers")

    def __init__(
        self,
        heard: HeardAddresses,
        forward: Callable[[bytes, Address, bytes], None],
        seek: Callable[[bytes, float], None],
    ) -> None:
        self._heard = heard
        self._forward = forward
        self._seek = seek
        self._nodes: OrderedDict[bytes, _Node] = OrderedDict()
        self._keys: dict[bytes, bytes] = {}
        self.timers: Timers[bytes] = Timers()

    def __len__(self) -> int:
        """How many nodes are remembered (at most NODES_MAX)."""
        return len(self._nodes)

    def tell(self, node_key: bytes, ways: Sequence[Address], now: float) -> None:
        """These ways are said to lead to the node: its registration says so. What waits for an answer tries new ones at once."""
        node = self._node(node_key)
        known = self._ways(node_key, node, now)
        new = [way for way in ways[:WAYS_MAX] if way not in known]
        node.told = tuple(ways[:WAYS_MAX])
        if new:
            self._repeat(node_key, node, new, now)

    def heard(self, node_key: bytes, way: Address, now: float) -> None:
        """An authentic frame of the node came over this way."""
        node = self._nodes.get(node_key)
        if node is None:
            return
        node.lost.pop(way, None)
        if not is_via(way):
            node.kept.clear()
        elif node.kept:
            waiting = [kept for kept in node.kept if kept.at > now - GRACE_SECONDS or way not in kept.ways]
            node.kept = deque(waiting, KEPT_FRAMES_MAX)
        node.said_at = node.kept[0].at if node.kept else None
        if node.kept:
            self.timers.set(node_key, node.kept[0].at + SILENCE_SECONDS)
        else:
            self.timers.stop(node_key)

    def say(self, node_key: bytes, frame: bytes, now: float) -> None:
        """Send a frame over the way that the node is heard on, or over all."""
        node = self._node(node_key)
        ways = self._ways(node_key, node, now)
        fresh = self._heard.is_fresh(node_key, now) and ways[:1] == [self._heard.get(node_key)]
        chosen = ways[:1] if fresh and not _is_silent(node, now) else ways
        if node.said_at is None:
            node.said_at = now
        node.kept.append(_Kept(frame, now, set(chosen)))
        if node_key not in self.timers:
            self.timers.set(node_key, now + SILENCE_SECONDS)
        for way in chosen:
            self._forward(node_key, way, frame)

    def lost(self, node_id: bytes, way: Address, now: float) -> None:
        """The super-node of `way` says that the node is not attached to it."""
        node_key = self._keys.get(node_id)
        if node_key is None:
            return
        node = self._nodes[node_key]
        if way not in node.told and way != self._heard.get(node_key):
            return  # no way to it that we know of: nothing can be lost there
        node.lost[way] = now
        while len(node.lost) > WAYS_MAX:
            del node.lost[next(iter(node.lost))]
        ways = self._ways(node_key, node, now)
        self._repeat(node_key, node, ways, now)
        if all(each in node.lost for each in ways):
            self._look_further(node_key, node, now)

    def handle_timeout(self, now: float) -> None:
        """Who is silent is tried over all ways; what is over is forgotten."""
        for node_key in self.timers.expired(now):
            node = self._nodes[node_key]
            while node.kept and now >= node.kept[0].at + KEPT_SECONDS:
                node.kept.popleft()
            if not node.kept:
                continue
            if _is_silent(node, now):
                self._repeat(node_key, node, self._ways(node_key, node, now), now)
                if not self._heard.is_fresh(node_key, now):
                    self._look_further(node_key, node, now)
                self.timers.set(node_key, node.kept[0].at + KEPT_SECONDS)
            elif node.said_at is not None:
                self.timers.set(node_key, node.said_at + SILENCE_SECONDS)

    def poll_timeout(self) -> float | None:
        """The next deadline."""
        return self.timers.next()

    def _ways(self, node_key: bytes, node: _Node, now: float) -> list[Address]:
        """All ways, the one heard on first; those lost only when no other is left."""
        heard = self._heard.get(node_key)
        known = dict.fromkeys([*([] if heard is None else [heard]), *node.told])
        alive = [way for way in known if now - node.lost.get(way, -LOST_SECONDS) >= LOST_SECONDS]
        return alive or list(known)

    def _repeat(self, node_key: bytes, node: _Node, ways: Sequence[Address], now: float) -> None:
        for kept in node.kept:
            if now >= kept.at + KEPT_SECONDS:
                continue
            for way in ways:
                if way not in kept.ways:
                    kept.ways.add(way)
                    self._forward(node_key, way, kept.frame)

    def _look_further(self, node_key: bytes, node: _Node, now: float) -> None:
        if node.sought_at is None or now - node.sought_at >= SEEK_SECONDS:
            node.sought_at = now
            self._seek(node_key, now)

    def _node(self, node_key: bytes) -> _Node:
        node = self._nodes.get(node_key)
        if node is not None:
            self._nodes.move_to_end(node_key)
            return node
        node = self._nodes[node_key] = _Node()
        self._keys[node_id_of(node_key)] = node_key
        if len(self._nodes) > NODES_MAX:
            forgotten = self._nodes.popitem(last=False)[0]
            self.timers.stop(forgotten)
            self._keys.pop(node_id_of(forgotten), None)
        return node


def _is_silent(node: _Node, now: float) -> bool:
    return node.said_at is not None and now >= node.said_at + SILENCE_SECONDS
