"""The rate of an access line: each datagram takes its time on it, waits for those before it, and is dropped when the queue is
full.

Datagrams reach `down` in the order that they were sent in, not that they arrive in: one that overtakes others sees the queue as
they left it. For datagrams in order both directions are exact.
"""

from simulations.network.endpoint import Line

OVERHEAD_BYTES = 28
"""The headers of IPv4 and UDP."""
QUEUE_SECONDS_MAX = 0.2
"""What may wait at either end of a line, by the time that it takes to send; more is dropped (tail drop). Home gateways queue
between some 10 ms and seconds (Hätönen et al., "An Experimental Study of Home Gateway Characteristics", IMC 2010)."""


def up(line: Line, now: float, size: int) -> float | None:
    """When the last byte of `size` bytes of UDP payload has left the line upwards; None if the queue is full."""
    start = line.up_free
    if start < now:
        start = now
    elif start - now > QUEUE_SECONDS_MAX:
        return None
    line.up_free = start = start + (size + OVERHEAD_BYTES) * line.up_seconds
    return start


def down(line: Line, arrival: float, size: int) -> float | None:
    """When the last byte of what reaches the far end of the line at `arrival` is down; None if the queue is full."""
    waiting = line.down_waiting
    passed = arrival - line.down_time
    if passed > 0.0:
        line.down_time = arrival
        waiting = waiting - passed if waiting > passed else 0.0
    if waiting > QUEUE_SECONDS_MAX:
        return None
    line.down_waiting = waiting = waiting + (size + OVERHEAD_BYTES) * line.down_seconds
    return arrival + waiting
