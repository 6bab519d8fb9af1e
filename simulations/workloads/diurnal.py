"""The load by the hour of the day, where people live.

`OFFICE` and `HOME` are shares of the busiest hour for each local hour. OFFICE has the shape that operators describe of business
telephony: calls from nine on, a lunch, calls again from two on, less after four, nearly nothing after six in the evening (Duffy,
Time of Day traffic and the Patterns of Life, trefor.net, 3 January 2014); its values are ours. HOME is a table of dial-up use at
home in 1998, its peak at ten in the evening with 7.3 % of the day (Love, peak load data, CNI roundtable, 22 June 1998). Public
telephony as a whole has ten to fifteen per cent of a day in its busiest hour, and most of it between eight and twenty o'clock
(Jak se telefonovalo na Nový rok, lupa.cz).

Who is online varies less than who calls: Skype had 8.4 million users online at its weekday peak and 5.0 at its trough, 6.8
and 3.7 at weekends (Skype Numerology, January 2007), with the peak while both Europe and America are awake.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from p2psip.base.chance import Chance
from simulations.nodes import Node
from simulations.swarm import Swarm

HOUR, DAY = 3_600.0, 86_400.0

OFFICE = (
    *(0.01, 0.01, 0.01, 0.01, 0.01, 0.02, 0.05, 0.15, 0.55, 0.95, 1.00, 0.97),
    *(0.70, 0.72, 0.95, 0.97, 0.80, 0.50, 0.20, 0.12, 0.09, 0.06, 0.03, 0.02),
)
"""Business calls by the local hour."""

HOME = (
    *(0.838, 0.515, 0.292, 0.106, 0.040, 0.075, 0.112, 0.205, 0.326, 0.487, 0.554, 0.561),
    *(0.549, 0.521, 0.541, 0.597, 0.794, 0.902, 0.882, 0.856, 0.941, 0.990, 1.000, 0.979),
)
"""Use at home by the local hour."""

REGION_HOURS = (-6.0, -5.0, -5.0, 1.0, 0.0, 1.0, 9.0, 10.0, 9.0, -3.0)
"""How far the clocks of the regions of `simulations.network.latency` are ahead of UTC, in hours, in winter."""

ONLINE_TROUGH = 5.0 / 8.4
"""Of the users online at the peak, so many are online at the trough."""


@dataclass(frozen=True, slots=True)
class Diurnal:
    """A profile of 24 values in [0, 1], and by region how many hours its clocks are ahead of UTC."""

    profile: Sequence[float]
    offset_hours: Sequence[float] = REGION_HOURS

    def level(self, unix: float, region: int = 0) -> float:
        """The share of the busiest hour's load at this time, between the values of two hours in a straight line."""
        local = (unix / HOUR + self.offset_hours[region % len(self.offset_hours)]) % 24
        hour = math.floor(local)
        here, following = self.profile[hour % 24], self.profile[(hour + 1) % 24]
        return here + (following - here) * (local - hour)

    def admits(self, unix: float, region: int, chance: Chance) -> bool:
        """Whether an event that comes at the busiest hour's rate happens at this time, too (thinning of a Poisson process)."""
        return chance.uniform(0, 1) < self.level(unix, region)

    def squeezed(self, trough: float) -> "Diurnal":
        """The same ups and downs between `trough` and 1."""
        low = min(self.profile)
        scale = (1 - trough) / (max(self.profile) - low)
        return Diurnal(tuple(trough + (each - low) * scale for each in self.profile), self.offset_hours)


class Tide:
    """Switches devices on and off so that of each region's the share of the hour is up. Looks every `step` seconds."""

    def __init__(self, swarm: Swarm, diurnal: Diurnal, *, step: float = 60.0, spread: float = 60.0) -> None:
        self._swarm = swarm
        self._diurnal = diurnal
        self._step = step
        self._spread = spread
        self._chance = swarm.world.chance.child("tide")
        self._regions: dict[int, list[Node]] = {}

    def begin(self, nodes: Sequence[Node]) -> None:
        """These devices come and go with the hours; at the busiest all of them are up."""
        for node in nodes:
            self._regions.setdefault(node.endpoint.region, []).append(node)
        self._swarm.world.every(self._step, self._turn, first=0.0)

    def _turn(self) -> None:
        world, chance = self._swarm.world, self._chance
        for region in sorted(self._regions):
            nodes = self._regions[region]
            up = [node for node in nodes if node.alive]
            wanted = round(self._diurnal.level(world.unix, region) * len(nodes))
            if len(up) > wanted:
                for node in chance.sample(up, len(up) - wanted):
                    world.after(chance.uniform(0, self._spread), lambda node=node: self._swarm.leave(node))  # type: ignore[misc]
            elif len(up) < wanted:
                down = [node for node in nodes if not node.alive]
                for node in chance.sample(down, min(len(down), wanted - len(up))):
                    world.after(chance.uniform(0, self._spread), lambda node=node: self._swarm.start(node))  # type: ignore[misc]
