"""Hostile nodes that store records that are not theirs. Every one of them must be refused; `deeds` says what was answered."""

import heapq
from dataclasses import replace

from overlay.events import RequestDone
from overlay.records import REGISTRATION, Record, encode_record, make_record, registration_key
from overlay.registration import Registration, encode_registration
from overlay.rpc import OK, STORE
from p2psip.base.keys import SigningKey
from simulations.hostile.hostile import Hostile
from simulations.nodes import Node

FORGERIES_AT_ONCE = 2
FORGERY_SECONDS = 5.0
LIFE_SECONDS = 600
HOLDERS_ASKED = 8


class Forger(Hostile):
    """Says of others that they are here: with its own certificate, with theirs and a false signature, with a signature of theirs
    on other words."""

    every = FORGERY_SECONDS

    def act(self, now: float) -> None:
        """Send forgeries about some to those who hold their records."""
        honest = [node for node in self.gang.honest() if node.wants_registration]
        for victim in self.chance.sample(honest, min(FORGERIES_AT_ONCE, len(honest))):
            for record in self.forgeries(victim):
                for holder in self.holders(record.key):
                    self.did("forged")
                    self.ask(holder, STORE, [[encode_record(record)]], now)

    def holders(self, key: bytes) -> list[Node]:
        """The honest nodes closest to a key: an attacker can find them by a lookup."""
        wanted = int.from_bytes(key, "big")
        near = {int.from_bytes(node.node_id, "big") ^ wanted: node for node in self.gang.honest()}
        return [near[distance] for distance in heapq.nsmallest(HOLDERS_ASKED, near)]

    def forgeries(self, victim: Node) -> list[Record]:
        """Registrations of the victim's person that lead to us."""
        unix = int(self.gang.swarm.world.unix)
        key = registration_key(victim.address)
        body = encode_registration(Registration(self.key, (self.endpoint.address,)))
        own, false = self.device.signing_key, SigningKey.generate(self.chance)
        ours = make_record(
            REGISTRATION,
            key,
            body,
            certificate=self.device.certificate,
            signing_key=own,
            sequence=unix * 1_000,
            expiry=unix + LIFE_SECONDS,
        )
        theirs = make_record(
            REGISTRATION,
            key,
            body,
            certificate=victim.device.certificate,
            signing_key=false,
            sequence=(unix + 60) * 1_000,
            expiry=unix + LIFE_SECONDS,
        )
        stolen = [
            replace(record, sequence=record.sequence + 1, body=body)
            for record in self.core.peer.store.get(REGISTRATION, key, unix)
        ]
        return [ours, theirs, *stolen[:1]]

    def take(self, event: object, now: float) -> None:
        """Count what holders said."""
        if isinstance(event, RequestDone) and event.answer is not None:
            self.did("accepted" if event.answer.status == OK else f"refused {event.answer.status}")
        super().take(event, now)
