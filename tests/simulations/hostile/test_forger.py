"""Forgers are refused by every holder; where nobody verifies, their records are held: the attack is a true one."""

import pytest

from overlay.records import REGISTRATION, RecordVerifier, registration_key
from p2psip.base.certificates import DeviceCertificate, verify_device
from simulations.hostile.forger import Forger
from simulations.hostile.hostile import Gang
from simulations.swarm import Swarm
from tests.simulations.town import people_of, town


def _leading_to(swarm: Swarm, forger: Forger) -> int:
    """How many records are held anywhere that somebody is to be found at the forger's."""
    count = 0
    for victim in people_of(swarm):
        key = registration_key(victim.address)
        for node in people_of(swarm):
            held = node.core.peer.store.get(REGISTRATION, key, swarm.world.unix)
            count += sum(forger.key in (record.body or b"") for record in held)
    return count


def test_every_forgery_is_refused() -> None:
    swarm = town(1, 12)
    gang = Gang(swarm)
    forger = gang.recruit(Forger, 1)[0]
    assert isinstance(forger, Forger)
    swarm.world.run(330.0)  # so long that it holds records of others, too, and alters them
    assert gang.deeds["forged"] > 500
    assert "accepted" not in gang.deeds
    assert gang.deeds["refused 403"] > 400
    assert _leading_to(swarm, forger) == 0


def test_where_nobody_verifies_forgeries_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    swarm = town(2, 12)

    def believe(self: RecordVerifier, record: object, unix: float) -> DeviceCertificate:
        certificate = record.certificate  # type: ignore[attr-defined]
        return verify_device(certificate, swarm.enrolment.authority.ca_der, unix)

    monkeypatch.setattr(RecordVerifier, "verify", believe)
    gang = Gang(swarm)
    forger = gang.recruit(Forger, 1)[0]
    assert isinstance(forger, Forger)
    swarm.world.run(60.0)
    assert gang.deeds["accepted"] > 50
    assert _leading_to(swarm, forger) > 0
