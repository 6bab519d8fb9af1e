"""A study of one's own: what do members cost that take records and give nothing back?"""

from simulations.checker import Checker
from simulations.hostile.hostile import Gang, Hostile
from simulations.lookups import LookedUp, Lookups
from simulations.populations import internet, settled
from simulations.run import Run
from simulations.scenario import scenario
from simulations.workloads.looking import Looking


class Miser(Hostile):
    """A real node that holds whatever it is given, and neither shows a record nor names another node."""

    def name_contacts(self, asked, target, honest):
        return []

    def show_records(self, asked, key, honest):
        self.did("kept back", len(honest))
        return []


class Patience(Checker):
    """Nobody waits longer than so many seconds for somebody who is there."""

    name = "patience"

    def __init__(self, seconds_max):
        super().__init__()
        self.seconds_max = seconds_max
        self.found = self.asked = 0

    def observe(self, node, event, now):
        if isinstance(event, LookedUp) and event.live and not node.hostile:
            self.asked += 1
            self.found += event.found
            if event.seconds > self.seconds_max:
                self.fail(f"node {node.number} waited {event.seconds:.1f} s for node {event.target.number}")


@scenario("misers")
def misers(run: Run, *, peers: int = 150, share: float = 0.2, minutes: float = 2.0):
    """A share of all members gives nothing back: are the others still found, and how soon?"""
    swarm = run.swarm(network=internet(run, nats=False))
    settled(run, swarm, round(peers * (1 - share)))
    gang = Gang(swarm)
    gang.recruit(Miser, round(peers * share))
    run.for_minutes(6)  # every registration is written anew in the meantime, to misers too

    patience = Patience(seconds_max=5.0)
    run.check(patience)
    Looking(swarm, Lookups(run, swarm), per_second=2.0).begin()
    run.for_minutes(minutes)

    share_found = 100 * patience.found / patience.asked
    run.figure("lookups that succeed", share_found, "%", goal=">= 99 %", met=share_found >= 99)
    run.figure("records kept back", gang.deeds.get("kept back", 0))
