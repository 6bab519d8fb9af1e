"""The Internet as far as a telephone notices it: latency, jitter, burst loss, copies, reordering, access rates, partitions and
NATs.

Each part has a file of its own, with its sources. Draws come from one stream, in the order of the datagrams: the same seed and
the same datagrams give the same arrivals.
"""

from collections.abc import Sequence

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from simulations.network import latency
from simulations.network.bandwidth import down, up
from simulations.network.endpoint import Endpoint, Line
from simulations.network.latency import DETOURS, JITTER, JITTER_STEPS
from simulations.network.loss import is_lost, turn
from simulations.network.nat import NatKind
from simulations.network.places import Places
from simulations.network.skew import draw_skew
from simulations.network.survey import SURVEY, Survey

HOME_SECONDS = 0.000_5
"""One way between two hosts of one home."""
COPIES = 0.000_1
"""The share of datagrams that arrive twice: an assumption; rare (Paxson, Packet Dynamics, 1997; from memory)."""
COPY_SECONDS = 0.001
LATE = 0.001
"""The share of datagrams that are held up by `LATE_SECONDS` and so overtaken by later ones: an assumption. In streams of 50
packets back to back 14 % saw more than two of them out of order (Zhou and Van Mieghem, "Reordering of IP Packets in Internet",
PAM 2004)."""
LATE_SECONDS = 0.03


class Internet(Places):
    """Hosts on lines of a population (`latency.py`), behind boxes in the shares of `survey`; `survey` None: all hosts are public.

    `loss` and `jitter` scale those of the lines (0 for none); `bandwidth` False: lines have no rate.
    """

    def __init__(
        self,
        chance: Chance,
        *,
        survey: Survey | None = SURVEY,
        loss: float = 1.0,
        jitter: float = 1.0,
        copies: float = COPIES,
        late: float = LATE,
        bandwidth: bool = True,
    ) -> None:
        super().__init__()
        self.survey = survey
        self._loss, self._jitter, self._bandwidth = loss, jitter, bandwidth
        self._copies, self._odd = copies, copies + late
        self._draw = chance.child("datagrams").real

    @property
    def median_round_trip(self) -> float:
        """Seconds there and back over the median link of this population."""
        return latency.median_round_trip(jitter=self._jitter)

    def endpoint(
        self,
        number: int,
        chance: Chance,
        *,
        nat: NatKind | None = None,
        behind: Endpoint | None = None,
        region: int | None = None,
    ) -> Endpoint:
        """A place for one more host, with a clock that is off; see `Network.endpoint`."""
        endpoint = super().endpoint(number, chance, nat=nat, behind=behind, region=region)
        endpoint.skew = draw_skew(chance)
        return endpoint

    def route(
        self, now: float, sender: Endpoint, destination: Address, size: int, port: int | None = None
    ) -> Sequence[tuple[float, Address]]:
        """What becomes of a datagram; see `Network.route`."""
        source = sender.address if port is None else (sender.address[0], port)
        target = self._hosts.get(destination[0])
        if sender.box is None and target.__class__ is Endpoint and target.box is None:
            there = target.line
        else:
            left = self.leave(now, sender, source, destination)
            if left is None:
                return ()
            source, place = left
            there = self.line_of(place, destination)
        here = sender.line
        if here is there:
            return ((now + HOME_SECONDS, source),)
        if self._cuts and self.partitions.apart(now, here, there):
            return ()
        real = self._draw
        if now >= here.turn:
            turn(here, now, real)
        if now >= there.turn:
            turn(there, now, real)
        if (here.bad or there.bad) and is_lost(here, there, real):
            return ()
        gone = up(here, now, size)
        if gone is None:
            return ()
        draw = real()
        way = here.row[there.region] * DETOURS[here.salt ^ there.salt] + here.delay + there.delay
        way += JITTER[int(draw * JITTER_STEPS)] * (here.jitter + there.jitter)
        arrival = down(there, gone + way, size)
        if arrival is None:
            return ()
        draw = real()
        if draw < self._odd:
            return self._odd_arrivals(draw, arrival, source)
        return ((arrival, source),)

    def _odd_arrivals(self, draw: float, arrival: float, source: Address) -> Sequence[tuple[float, Address]]:
        if draw < self._copies:
            return ((arrival, source), (arrival + COPY_SECONDS, source))
        return ((arrival + LATE_SECONDS, source),)

    def _new_line(self, chance: Chance, region: int | None, drawn: NatKind | None) -> Line:
        carried = None if self.survey is None or drawn is None else drawn.before is not None
        line = latency.new_line(chance, region, carried)
        line.loss *= self._loss
        line.jitter *= self._jitter
        if not self._bandwidth:
            line.up_seconds = line.down_seconds = 0.0
        return line

    def _registry(self, line: Line) -> int:
        return latency.REGISTRY_OF_REGION[line.region]

    def _new_kind(self, chance: Chance) -> NatKind:
        return super()._new_kind(chance) if self.survey is None else self.survey.draw(chance)
