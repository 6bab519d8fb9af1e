"""An overlay inside one process, for the benchmarks that need many nodes on loopback UDP."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from overlay.service import OverlayService
from p2psip.app.state import Membership
from p2psip.base.certificates import create_authority, issue_device
from p2psip.base.chance import Chance
from p2psip.base.configuration import OverlayConfiguration, sign_configuration
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort

OVERLAY = "home.example"


class Authority:
    """A certificate authority that enrols whoever asks."""

    def __init__(self) -> None:
        self.chance = Chance.system()
        self._unix = int(time.time())
        self._key = SigningKey.generate(self.chance)
        self._ca = create_authority(OVERLAY, self._key, self._unix)
        self._configuration = sign_configuration(OverlayConfiguration(OVERLAY, 1, self._unix), self._key)
        self._issued = 0

    def enrol(self, name: str) -> Membership:
        """Fresh keys and a certificate for `name`."""
        self._issued += 1
        node, signing = NodeKey.generate(self.chance), SigningKey.generate(self.chance)
        address = f"{name}@{OVERLAY}"
        certificate = issue_device(
            self._ca,
            self._key,
            signing_public=signing.public,
            node_id=node.node_id,
            addresses=(address,),
            serial=self._issued,
            not_before=self._unix,
            not_after=self._unix + 86_400,
        )
        keys = (node.private, signing.private)
        return Membership(OVERLAY, (address,), *keys, self._ca, certificate, self._configuration, "")


@asynccontextmanager
async def overlay_of(authority: Authority, count: int) -> AsyncIterator[list[OverlayService]]:
    """`count` nodes named user0, user1, … that run but do not know one another yet."""
    services = []
    async with trio.open_nursery() as nursery:
        for number in range(count):
            membership = authority.enrol(f"user{number}")
            port = NodePort.bind(["127.0.0.1"], 0)
            service = OverlayService(
                node_key=NodeKey.from_private(membership.node_key),
                signing_key=SigningKey.from_private(membership.signing_key),
                certificate=membership.certificate_der,
                ca=membership.ca_der,
                configuration=membership.configuration,
                port=port,
                clock=Clock(),
                chance=authority.chance,
                state_file=None,
            )
            await nursery.start(port.run)
            await nursery.start(service.run)
            services.append(service)
        yield services
        nursery.cancel_scope.cancel()


def introducer(service: OverlayService) -> tuple[bytes, Any]:
    """How to reach a node of `overlay_of`."""
    return service.peer.node_key.public, ("127.0.0.1", int(service.status()["addresses"][0].rpartition(":")[2]))
