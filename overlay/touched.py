"""Where we have sent something lately: what a NAT or firewall may have opened, so that it proves nothing (RFC 4787 §5)."""

from collections import OrderedDict
from typing import TypeVar

from p2psip.base.core import Address

K = TypeVar("K")

TOUCHED_MAX = 4_096
UNTOUCHED_SECONDS = 600.0


class Touched:
    """The TOUCHED_MAX addresses that something was sent to last: what a NAT may have opened for them."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, float] = OrderedDict()
        self._addresses: OrderedDict[Address, float] = OrderedDict()
        self._forgot_at: float | None = None

    def __len__(self) -> int:
        return len(self._addresses)

    def note(self, destination: Address, now: float) -> None:
        """Something is sent there."""
        self._put(self._hosts, destination[0], now)
        self._put(self._addresses, destination, now)

    def forget_before(self, when: float) -> None:
        """A NAT that is new since then has opened nothing for what was sent before."""
        self._forgot_at = None
        for table in (self._hosts, self._addresses):
            while table and next(iter(table.values())) < when:
                table.popitem(last=False)

    def has_host(self, host: str, now: float) -> bool:
        """Whether something was sent to this host lately, or that can no longer be told."""
        return self._is_recent(self._hosts.get(host), now)

    def has_address(self, address: Address, now: float) -> bool:
        """The same for a host and port."""
        return self._is_recent(self._addresses.get(address), now)

    def latest_hosts(self, count: int) -> list[str]:
        """The hosts that something was sent to last."""
        hosts = reversed(self._hosts)
        return [host for _number, host in zip(range(count), hosts, strict=False)]

    def _put(self, table: OrderedDict[K, float], key: K, now: float) -> None:
        table[key] = now
        table.move_to_end(key)
        if len(table) > TOUCHED_MAX:
            self._forgot_at = max(self._forgot_at or 0.0, table.popitem(last=False)[1])

    def _is_recent(self, at: float | None, now: float) -> bool:
        at = self._forgot_at if at is None else at
        return at is not None and now - at < UNTOUCHED_SECONDS
