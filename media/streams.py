"""Which call an SRTP datagram belongs to, when all calls between two nodes share one pair of ports: by address and SSRC.

A stream nobody knows is tried on the calls with that address, those without a stream first and the newest of them before the
others, and belongs to the one whose keys fit. Phones
are free to use one SSRC in many calls (RFC 3550 knows nothing of each other): such streams take turns, so that packets in
steady rotation find their call at the first try. What a flood of strange streams may cost is bounded for each address.
"""

from itertools import chain
from typing import Generic, Protocol, TypeVar

from media.ice.candidates import Way

ADDRESSES_MAX = 8_192
STREAMS_PER_PATH_MAX = 32
TRIES_PER_SECOND_MAX = 40_000


class Path(Protocol):
    """A call's path to another node."""

    def receive(self, data: bytes, source: Way) -> bool:
        """Take a datagram; False when it is not of this path."""


P = TypeVar("P", bound=Path)


class _Source(Generic[P]):
    __slots__ = ("paths", "second", "silent", "streams", "tries")

    def __init__(self) -> None:
        self.paths: dict[P, None] = {}
        self.silent: dict[P, None] = {}  # those that no stream was found for yet
        self.streams: dict[bytes, list[P]] = {}
        self.second, self.tries = 0.0, 0

    def may_try(self) -> bool:
        """Count one more try of this second."""
        self.tries += 1
        return self.tries <= TRIES_PER_SECOND_MAX


class StreamTable(Generic[P]):
    """Wayes, the paths that may receive from each, and the streams that were found."""

    def __init__(self) -> None:
        self._sources: dict[Way, _Source[P]] = {}
        self._addresses: dict[P, set[Way]] = {}
        self._ssrcs: dict[P, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def expect(self, source: Way, path: P) -> None:
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
        found.paths[path] = found.silent[path] = None

    def paths(self, source: Way) -> tuple[P, ...]:
        """All paths that may receive from `source`."""
        found = self._sources.get(source)
        return () if found is None else tuple(found.paths)

    def forget(self, path: P) -> None:
        """The path is gone."""
        self._ssrcs.pop(path, None)
        for address in self._addresses.pop(path, ()):
            found = self._sources[address]
            del found.paths[path]
            found.silent.pop(path, None)
            for ssrc in [ssrc for ssrc, paths in found.streams.items() if path in paths]:
                found.streams[ssrc].remove(path)
                if not found.streams[ssrc]:
                    del found.streams[ssrc]
            if not found.paths:
                del self._sources[address]

    def deliver(self, data: bytes, source: Way, ssrc: bytes) -> bool:
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

    def search(self, data: bytes, source: Way, ssrc: bytes, now: float) -> bool:
        """Try a datagram that could not be delivered on the paths with its address; False when it is nobody's."""
        found = self._sources.get(source)
        if found is None:
            return False
        if now - found.second >= 1.0:
            found.second, found.tries = now, 0
        known = found.streams.get(ssrc, [])
        for number, path in enumerate(known[1:], 1):
            if found.may_try() and path.receive(data, source):
                found.streams[ssrc] = known[number + 1 :] + known[: number + 1]
                return True
        others = (path for path in reversed(found.paths) if path not in found.silent)
        for path in chain(reversed(found.silent), others):
            if path in known or not self._has_room(path, ssrc):
                continue
            if not found.may_try():
                return False
            if path.receive(data, source):
                self._keep(found, path, ssrc)
                return True
        return False

    def _keep(self, found: _Source[P], path: P, ssrc: bytes) -> None:
        found.streams.setdefault(ssrc, []).append(path)
        found.silent.pop(path, None)
        self._ssrcs.setdefault(path, set()).add(ssrc)

    def _has_room(self, path: P, ssrc: bytes) -> bool:
        ssrcs = self._ssrcs.get(path, ())
        return len(ssrcs) < STREAMS_PER_PATH_MAX or ssrc in ssrcs
