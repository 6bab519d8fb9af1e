"""A call between two symmetric NATs needs a relay, unless the router of one of them can be asked to let others in."""

from pathlib import Path

import pytest
import trio

from tests.nat.kinds import Kind
from tests.nat.lab import Plan
from tests.nat.talk import talk
from tests.nat.test_port_mapping import ROUTER_RULES, Forwarder
from tests.nat.town import town

pytestmark = [pytest.mark.nat, pytest.mark.slow, pytest.mark.timeout(240)]

MAPPED_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.5
SYMMETRIC_RULES = ROUTER_RULES.replace('"wan" masquerade', '"wan" masquerade fully-random')


async def test_a_mapped_port_makes_a_call_between_symmetric_nats_direct(tmp_path: Path) -> None:
    homes = [Plan("alice", Kind.SYMMETRIC), Plan("bob", Kind.SYMMETRIC)]
    async with town(tmp_path, homes, super_nodes=2) as built:
        alice, bob = built["alice"], built["bob"]
        relayed = await talk(bob, alice)
        assert relayed.is_good, relayed.troubles()
        assert not relayed.is_direct
        forwarder = Forwarder(alice.site, tmp_path)
        with forwarder.running(SYMMETRIC_RULES):
            with trio.fail_after(MAPPED_SECONDS_MAX):
                await _mapped(forwarder, alice.node.overlay_port)
            direct = await talk(bob, alice)
            assert direct.is_good, direct.troubles()
            assert direct.is_direct, direct.paths


async def _mapped(forwarder: Forwarder, number: int) -> None:
    while True:
        if f":{number}" in forwarder.mapped:
            return
        await trio.sleep(LOOK_SECONDS)
