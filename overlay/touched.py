"""Where we have sent something lately: what a NAT or firewall may have opened, so that it proves nothing (RFC 4787 §5)."""

from p2psip.base.core import Address

TOUCHED_MAX = 4_096
UNTOUCHED_SECONDS = 600.0


class Touched:
    """The TOUCHED_MAX addresses that something was sent to last: what a NAT may have opened for them.

    It is written with each datagram and read a few times in minutes, so it is one table in the order of time. What was sent
    UNTOUCHED_SECONDS ago says nothing any more and leaves it.
    """

    __slots__ = ("_addresses", "_forgot_at")

    def __init__(self) -> None:
        self._addresses: dict[Address, float] = {}
        self._forgot_at: float | None = None

    def __len__(self) -> int:
        return len(self._addresses)

    def note(self, destination: Address, now: float) -> None:
        """Something is sent there."""
        addresses = self._addresses
        if addresses.pop(destination, None) is None:
            self._make_room(now)
        addresses[destination] = now

    def forget_before(self, when: float) -> None:
        """A NAT that is new since then has opened nothing for what was sent before."""
        self._forgot_at = None
        self._addresses = {address: at for address, at in self._addresses.items() if at >= when}

    def has_host(self, host: str, now: float) -> bool:
        """Whether something was sent to this host lately, or that can no longer be told."""
        for address, at in reversed(self._addresses.items()):
            if address[0] == host:
                return self._is_recent(at, now)
        return self._is_recent(None, now)

    def has_address(self, address: Address, now: float) -> bool:
        """The same for a host and port."""
        return self._is_recent(self._addresses.get(address), now)

    def latest_hosts(self, count: int) -> list[str]:
        """The hosts that something was sent to last."""
        hosts: dict[str, None] = {}
        for host, _port in reversed(self._addresses):
            hosts[host] = None
            if len(hosts) >= count:
                break
        return list(hosts)[:count]

    def _make_room(self, now: float) -> None:
        """Let what is old go, two for one, so that a quiet table shrinks; and the oldest of a full one."""
        for _each in range(2):
            oldest = next(iter(self._addresses), None)
            if oldest is None or now - self._addresses[oldest] < UNTOUCHED_SECONDS:
                break
            del self._addresses[oldest]
        if len(self._addresses) >= TOUCHED_MAX:
            oldest = next(iter(self._addresses))
            self._forgot_at = max(self._forgot_at or 0.0, self._addresses.pop(oldest))

    def _is_recent(self, at: float | None, now: float) -> bool:
        at = self._forgot_at if at is None else at
        return at is not None and now - at < UNTOUCHED_SECONDS
