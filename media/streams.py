"""Which call an SRTP datagram belongs to, when all calls between two nodes share one pair of ports: by address and SSRC.

A stream nobody knows is tried on the calls with that address, the newest first, and belongs to the one whose keys fit. Phones
are free to use one SSRC in many calls (RFC 3550 knows nothing of each other): such streams take turns, so that packets in
steady rotation find their call at the first try. What a flood of strange streams may cost is bounded for each address.
"""

from typing import Generic, Protocol, TypeVar

from p2psip.base.core import Address

ADDRESSES_MAX = 8_192
STREAMS_PER_PATH_MAX = 32
TRIES_PER_SECOND_MAX = 10_000


class Path(Protocol):
    """A call's path to another node."""

    def receive(self, data: bytes, source: Address) -> bool:
        """Take a datagram; False when it is not of this path."""


P = TypeVar("P", bound=Path)


class _Source(Generic[P]):
    __slots__ = ("paths", "second", "streams", "tries")

    def __init__(self) -> None:
        self.paths: dict[P, None] = {}
        self.streams: dict[bytes, list[P]] = {}
        self.second, self.tries = 0.0, 0


class StreamTable(Generic[P]):
    """Addresses, the paths that may receive from each, and the streams that were found."""

    def __init__(self) -> None:
        self._sources: dict[Address, _Source[P]] = {}
        self._addresses: dict[P, set[Address]] = {}
        self._ssrcs: dict[P, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def expect(self, source: Address, path: P) -> None:
        """Datagrams from `source` may be of `path`; ignored when there are ADDRESSES_MAX others."""
        known = self._addresses.setdefault(path, set())
        if source in known:
            return
        found = self._sources.get(source)
        if found is None:
            if len(self._sources) >= ADDRESSES_MAX:
                return
            found = self._sources[source] = _Source[P]()
        known.add(source)
        found.paths[path] = None

    def paths(self, source: Address) -> tuple[P, ...]:
        """All paths that may receive from `source`."""
        found = self._sources.get(source)
        return () if found is None else tuple(found.paths)

    def forget(self, path: P) -> None:
        """The path is gone."""
        self._ssrcs.pop(path, None)
        for address in self._addresses.pop(path, ()):
            found = self._sources[address]
            del found.paths[path]
            for ssrc in [ssrc for ssrc, paths in found.streams.items() if path in paths]:
                found.streams[ssrc].remove(path)
                if not found.streams[ssrc]:
                    del found.streams[ssrc]
            if not found.paths:
                del self._sources[address]

    def deliver(self, data: bytes, source: Address, ssrc: bytes) -> bool:
        """Hand a datagram of a known stream to its path; False when `search` is needed."""
        found = self._sources.get(source)
        if found is None:
            return False
        paths = found.streams.get(ssrc)
        if paths is None or not paths[0].receive(data, source):
            return False
        if len(paths) > 1:
            paths.append(paths.pop(0))
        return True

    def search(self, data: bytes, source: Address, ssrc: bytes, now: float) -> bool:
        """Try a datagram that could not be delivered on the paths with its address; False when it is nobody's."""
        found = self._sources.get(source)
        if found is None:
            return False
        if now - found.second >= 1.0:
            found.second, found.tries = now, 0
        known = found.streams.get(ssrc, [])
        for number, path in enumerate(known[1:], 1):
            if not self._try(found, path, data, source):
                continue
            found.streams[ssrc] = known[number + 1 :] + known[: number + 1]
            return True
        for path in reversed(found.paths):
            if path not in known and self._has_room(path, ssrc) and self._try(found, path, data, source):
                found.streams.setdefault(ssrc, []).append(path)
                self._ssrcs.setdefault(path, set()).add(ssrc)
                return True
        return False

    def _has_room(self, path: P, ssrc: bytes) -> bool:
        ssrcs = self._ssrcs.get(path, ())
        return len(ssrcs) < STREAMS_PER_PATH_MAX or ssrc in ssrcs

    @staticmethod
    def _try(found: _Source[P], path: P, data: bytes, source: Address) -> bool:
        if found.tries >= TRIES_PER_SECOND_MAX:
            return False
        found.tries += 1
        return path.receive(data, source)
