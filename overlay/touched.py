"""Where we have sent something lately: what a NAT or firewall may have opened, so that it proves nothing (RFC 4787 §5)."""

from p2psip.base.core import Address

TOUCHED_MAX = 4_096
UNTOUCHED_SECONDS = 600.0

_SWEEP_AT = 64
_SPARED = TOUCHED_MAX * 7 // 8


class Touched:
    """Up to TOUCHED_MAX addresses that something was sent to last: what a NAT may have opened for them.

    It is written with each datagram and read a few times in minutes, so writing is cheap and the order of time is found when
    somebody asks. What was sent UNTOUCHED_SECONDS ago says nothing any more and is swept out.
    """

    __slots__ = ("_addresses", "_forgot_at", "_sweep_at")

    def __init__(self) -> None:
        self._addresses: dict[Address, float] = {}
        self._forgot_at: float | None = None
        self._sweep_at = _SWEEP_AT

    def __len__(self) -> int:
        return len(self._addresses)

    def note(self, destination: Address, now: float) -> None:
        """Something is sent there."""
        self._addresses[destination] = now
        if len(self._addresses) > self._sweep_at:
            self._sweep(now)

    def forget_before(self, when: float) -> None:
        """A NAT that is new since then has opened nothing for what was sent before."""
        self._forgot_at = None
        self._addresses = {address: at for address, at in self._addresses.items() if at >= when}

    def has_host(self, host: str, now: float) -> bool:
        """Whether something was sent to this host lately, or that can no longer be told."""
        times = [at for address, at in self._addresses.items() if address[0] == host]
        return self._is_recent(max(times, default=None), now)

    def has_address(self, address: Address, now: float) -> bool:
        """The same for a host and port."""
        return self._is_recent(self._addresses.get(address), now)

    def latest_hosts(self, count: int) -> list[str]:
        """The hosts that something was sent to last."""
        latest = sorted(self._addresses, key=self._addresses.__getitem__, reverse=True)
        return list(dict.fromkeys(host for host, _port in latest))[:count]

    def _sweep(self, now: float) -> None:
        """Let go of what is old, and of the oldest eighth of a full table."""
        recent = {address: at for address, at in self._addresses.items() if now - at < UNTOUCHED_SECONDS}
        if len(recent) > TOUCHED_MAX:
            latest = sorted(recent, key=recent.__getitem__, reverse=True)
            self._forgot_at = max(self._forgot_at or 0.0, recent[latest[_SPARED]])
            recent = {address: recent[address] for address in latest[:_SPARED]}
        self._addresses = recent
        self._sweep_at = min(max(_SWEEP_AT, 2 * len(recent)), TOUCHED_MAX)

    def _is_recent(self, at: float | None, now: float) -> bool:
        at = self._forgot_at if at is None else at
        return at is not None and now - at < UNTOUCHED_SECONDS
