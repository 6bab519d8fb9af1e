"""How far the clocks of hosts are off.

Of 745 230 web sites whose Date header could be checked, 95.3 % were right to the second, 1.7 % were ahead and the rest behind (a
scan of the Tranco list, "Does the Internet know what time is it?", engineered.at). How far a wrong clock is off is an
assumption: anything between `WRONG_SECONDS_MIN` and `WRONG_SECONDS_MAX`, evenly on a logarithmic scale. Some are off by more
than a day: so are 6.7 % of the clients in Chrome's reports of certificate errors, nearly all behind (Acer et al., "Where the
Wild Warnings Are", CCS 2017).
"""

import math

from p2psip.base.chance import Chance

AHEAD, BEHIND = 0.017, 0.030
RIGHT_SECONDS = 0.5
"""A right clock is off by less than this."""
WRONG_SECONDS_MIN, WRONG_SECONDS_MAX = 1.0, 2 * 86_400.0


def draw_skew(chance: Chance) -> float:
    """Seconds that a host's clock is ahead of the true time; negative if it is behind."""
    what, how = chance.real(), chance.real()
    if what >= AHEAD + BEHIND:
        return (2.0 * how - 1.0) * RIGHT_SECONDS
    wrong = WRONG_SECONDS_MIN * math.pow(WRONG_SECONDS_MAX / WRONG_SECONDS_MIN, how)
    return wrong if what < AHEAD else -wrong
