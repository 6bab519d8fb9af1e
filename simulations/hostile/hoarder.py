"""Hostile nodes that take what super-nodes share: flows and credentials without end, or clients that are then relayed nothing."""

from overlay.crossing import Volunteering
from overlay.events import RequestDone
from overlay.participant import Participant
from overlay.relay_record import CAPACITY_MAX, UPTIME_CLASS_HOURS, Announcement
from overlay.relaying import FLOW_SECONDS
from overlay.rpc import ATTACH, GRANT, OK
from p2psip.base.certificates import DeviceCertificate
from p2psip.base.grants import Grant, TurnServer, make_grant
from simulations.hostile.hostile import Hostile

GRANTS_AT_ONCE = 4
GRANT_SECONDS = 600


class Hoarder(Hostile):
    """Attaches to every super-node there is and stays attached, and asks for one TURN credential after the other."""

    every = FLOW_SECONDS / 3

    def act(self, now: float) -> None:
        """Renew all flows."""
        for node in self.gang.honest():
            if node.volunteer and node is not self:
                self.ask(node, ATTACH, [], now)
                for _ in range(GRANTS_AT_ONCE):
                    self.ask(node, GRANT, [], now)

    def take(self, event: object, now: float) -> None:
        """Count what was got."""
        if isinstance(event, RequestDone) and event.answer is not None:
            self.did("granted" if event.answer.status == OK else "refused")
        super().take(event, now)


class BlackHole(Hostile):
    """Announces itself as the best super-node of all, lets everybody attach, and passes nothing on."""

    @property
    def volunteer(self) -> bool:
        """Always, whatever the swarm says."""
        return True

    @volunteer.setter
    def volunteer(self, value: bool) -> None:
        return

    def prepare(self, core: Participant) -> None:
        """Volunteer with words of our own, in the place of what the swarm said."""
        core.peer.crossing.volunteer(None)
        core.peer.crossing.volunteer(Volunteering(self._grants, self._announcement, charge=self._swallow))

    def _announcement(self) -> Announcement:
        where = (self.endpoint.address,)
        return Announcement(self.key, where, capacity=CAPACITY_MAX, uptime_class=len(UPTIME_CLASS_HOURS))

    def _grants(self, certificate: DeviceCertificate, unix: float) -> Grant:
        servers = (TurnServer("udp", self.endpoint.address),)
        secret = self.chance.child("turn").bytes(32)
        overlay = self.gang.swarm.enrolment.overlay
        return make_grant(secret, certificate.node_id.hex(), overlay, unix, GRANT_SECONDS, servers)

    def _swallow(self, size: int) -> bool:
        """Whether so many bytes may still be passed on: never."""
        self.did("swallowed")
        return False
