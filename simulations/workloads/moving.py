"""People who change networks: from home to work, from Wi-Fi to the mobile network, with another address and another NAT.

Most move little: 70 % of users reach their mail from two places or fewer (Simler, Czerwinski, Joseph, Analysis of Wide Area User
Mobility Patterns, WMCSA 2004), and users spend their time in a small number of networks, between which they change often (Yang,
Kurose, Heimlicher, Venkataramani, Measurement and Modeling of User Transitioning Among Networks, INFOCOM 2015). So MOVERS of all
nodes move, and stay in each network for a time whose tail is heavy (the lengths of stay in wireless networks are: Thajchayapong
and Peha, Mobility Patterns in Microcellular Wireless Networks, IEEE TMC 2006); the mean of two hours is our assumption.
"""

from p2psip.base.chance import Chance
from simulations.nodes import Node
from simulations.swarm import Swarm
from simulations.workloads.churn import is_person
from simulations.workloads.durations import Duration, Weibull

MOVERS = 0.3
STAYS = Weibull(0.6, 1.0).scaled_to(7_200.0)


class Moving:
    """Moves a share of the nodes from network to network. What network that is, the population of the network model decides."""

    def __init__(self, swarm: Swarm, *, movers: float = MOVERS, stays: Duration = STAYS) -> None:
        self.moves = 0
        self._swarm = swarm
        self._movers = movers
        self._stays = stays
        self._chance = swarm.world.chance.child("moving")

    def begin(self) -> None:
        """From now on. Whether a node moves is its own lot, drawn once."""
        for node in self._swarm.nodes:
            chance = self._chance.child(str(node.number))
            if is_person(node) and chance.uniform(0, 1) < self._movers:
                self._move_after(node, chance, self._stays.residual(chance))

    def _move_after(self, node: Node, chance: Chance, seconds: float) -> None:
        def move() -> None:
            self.moves += 1
            self._swarm.move(node)
            self._move_after(node, chance, self._stays.draw(chance))

        self._swarm.world.after(seconds, move)
