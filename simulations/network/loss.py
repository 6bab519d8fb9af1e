"""Burst loss by the model of Gilbert (1960) and Elliott (1963), in continuous time, per line and not per pair.

A line is good or bad. In the bad state it loses a datagram with `LOSS_WHEN_BAD`, in the good state none. Both states last an
exponentially distributed time; the bad one `BURST_SECONDS` in the mean, the good one so long that the line's share of losses
comes out. Hasslinger and Hohlfeld ("The Gilbert-Elliott Model for Packet Loss in Real Time Services on the Internet", MMB 2008)
found this model fit for traces of Deutsche Telekom's backbone; Jiang and Schulzrinne (NOSSDAV 2000) for voice over the Internet.
The two constants are assumptions: a burst of three packets of a voice stream (20 ms each), of which half are lost.

Time and not datagrams drives the state, so that a node that speaks rarely and a voice stream on one line see the same weather.
"""

import math
from collections.abc import Callable

from simulations.network.endpoint import Line

BURST_SECONDS = 0.06
LOSS_WHEN_BAD = 0.5
LOSS_MAX = 0.45
"""The greatest share of losses of a line: at `LOSS_WHEN_BAD` it would be bad for ever."""


def turn(line: Line, now: float, real: Callable[[], float]) -> None:
    """Set the state of `line` at `now`, when the last state has ended, and until when it lasts. Exact after any gap."""
    share = min(line.loss, LOSS_MAX) / LOSS_WHEN_BAD
    if share <= 0.0:
        line.bad, line.turn = False, math.inf
        return
    good_seconds = BURST_SECONDS * (1.0 - share) / share
    after = 0.0 if line.bad else 1.0  # it was turned at `line.turn`
    memory = math.exp((line.turn - now) * (1.0 / BURST_SECONDS + 1.0 / good_seconds))
    line.bad = real() < share + (after - share) * memory
    line.turn = now - (BURST_SECONDS if line.bad else good_seconds) * math.log(1.0 - real())


def is_lost(here: Line, there: Line, real: Callable[[], float]) -> bool:
    """Whether a datagram between two lines, one of them bad, is lost."""
    return (here.bad and real() < LOSS_WHEN_BAD) or (there.bad and real() < LOSS_WHEN_BAD)
