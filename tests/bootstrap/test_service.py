"""The bootstrap server over real HTTPS on loopback, asked by our client and by hostile ones."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from bootstrap.authority import Authority
from bootstrap.client import enrol, fetch_configuration, fetch_introducers, renew
from bootstrap.invite import Invite
from bootstrap.messages import INTRODUCERS_MAX, REQUEST_BYTES_MAX, Enrolment, EnrolRequest, Introducer, encode_enrol
from bootstrap.service import BootstrapServer, create_overlay, open_overlay
from bootstrap.tls import pinned_context, untrusting_context
from p2psip.base.certificates import certificate_request, verify_device
from p2psip.base.chance import Chance
from p2psip.base.configuration import verify_configuration
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock

DAY = 86_400.0


@dataclass
class World:
    """A running server, and dice."""

    authority: Authority
    server: BootstrapServer
    chance: Chance
    clock: Clock = field(default_factory=Clock)

    def invite(self, *, token: bool = True, name: str | None = None) -> Invite:
        return self.authority.make_invite(
            [("127.0.0.1", self.server.port)], unix=self.clock.unix(), lifetime_seconds=DAY if token else None, name=name
        )

    def device(self) -> tuple[SigningKey, NodeKey]:
        return SigningKey.generate(self.chance), NodeKey.generate(self.chance)

    async def enrol(self, invite: Invite, name: str, password: str | None = None) -> Enrolment:
        signing, node = self.device()
        return await enrol(
            invite,
            name=name,
            password=password,
            signing=signing,
            node=node,
            unix=self.clock.unix(),
            chance=self.chance,
        )

    def browser(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=context, trust_env=False, base_url=f"https://127.0.0.1:{self.server.port}", timeout=10
        )


@asynccontextmanager
async def running(
    path: Path, introducers: Sequence[Introducer] = (), hosts: Sequence[str] = ("127.0.0.1",)
) -> AsyncIterator[World]:
    chance = Chance.seeded(7)
    clock = Clock()
    authority = create_overlay(path / "bootstrap.sqlite", "home.example", unix=clock.unix(), chance=chance)
    server = BootstrapServer(authority, hosts, 0, clock=clock, chance=chance, introducers=lambda: introducers)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield World(authority, server, chance)
        nursery.cancel_scope.cancel()


async def test_a_newcomer_is_enrolled_by_a_token(tmp_path: Path) -> None:
    peers = [Introducer(bytes([number]) * 32, (("127.0.0.1", 4000 + number),)) for number in range(INTRODUCERS_MAX + 1)]
    async with running(tmp_path, peers) as world:
        invite = world.invite()
        assert Invite.parse(str(invite)) == invite
        got = await world.enrol(invite, "Alice")
        certificate = verify_device(got.certificate_der, got.ca_der, world.clock.unix())
        assert certificate.addresses == ("alice@home.example", "1001@home.example")
        assert verify_configuration(got.configuration, got.ca_der).sequence == 1
        assert got.introducers == tuple(peers[:INTRODUCERS_MAX])
