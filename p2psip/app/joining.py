"""Enrolment of this machine: keys made here, a certificate fetched there, all of it on disk before it counts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.client import enrol
from bootstrap.invite import Invite
from bootstrap.messages import Enrolment
from p2psip.app.state import Membership, State, StateError
from p2psip.app.timekeeping import Timekeeper
from p2psip.base.certificates import verify_device
from p2psip.base.chance import Chance
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock


@dataclass(frozen=True, slots=True)
class Joined:
    """What this machine is in the overlay now."""

    overlay: str
    addresses: tuple[str, ...]
    node_id: str

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"overlay": self.overlay, "addresses": list(self.addresses), "node_id": self.node_id}


async def join_overlay(
    home: Path, link: str, name: str, password: str | None, *, clock: Clock, chance: Chance
) -> Joined:
    """Enrol this machine as `name` with the invite `link`; StateError when it belongs to an overlay already."""
    invite = Invite.parse(link)
    state = State(home)
    try:
        if state.membership() is not None:
            raise StateError(f"this machine has joined an overlay already; use another --home, or remove {state.path}")
        timekeeper = Timekeeper(clock, state)
        signing, node = SigningKey.generate(chance), NodeKey.generate(chance)
        enrolment = await enrol(
            invite, name=name, password=password, signing=signing, node=node, unix=clock.unix(), chance=chance
        )
        timekeeper.learn(enrolment.clock_late)
        certificate = verify_device(enrolment.certificate_der, enrolment.ca_der, clock.unix())
        save_introducers(state, enrolment)  # before it counts: a member without introducers would stay alone
        tokenless = Invite(invite.overlay, invite.fingerprint, invite.bootstraps)
        state.save_membership(
            Membership(
                overlay=invite.overlay,
                addresses=certificate.addresses,
                node_key=node.private,
                signing_key=signing.private,
                ca_der=enrolment.ca_der,
                certificate_der=enrolment.certificate_der,
                configuration=enrolment.configuration,
                invite=str(tokenless),
            )
        )
        return Joined(invite.overlay, certificate.addresses, node.node_id.hex())
    finally:
        state.close()


def save_introducers(state: State, enrolment: Enrolment) -> None:
    """Remember the peers that an enrolment named."""
    for introducer in enrolment.introducers:
        for address in introducer.addresses:
            state.save_introducer(introducer.node_key, address)
