"""A host with IPv6 only calls the others and is called: through relays by those with IPv4 only, directly by those with IPv6."""

from pathlib import Path

import pytest

from tests.nat.kinds import Kind
from tests.nat.lab import Plan
from tests.nat.talk import talk
from tests.nat.town import town

SECONDS_MAX = 240
SIX = Plan("six", Kind.IPV6_ONLY)
OTHERS = (
    Plan("restricted", Kind.PORT_RESTRICTED),
    Plan("symmetric", Kind.SYMMETRIC),
    Plan("blocked", Kind.UDP_BLOCKED),
    Plan("dual", Kind.DUAL_STACK),
    Plan("sixtoo", Kind.IPV6_ONLY),
)


@pytest.mark.nat
@pytest.mark.timeout(SECONDS_MAX)
async def test_ipv6_only_and_every_other_hear_one_another_in_both_directions(tmp_path: Path) -> None:
    async with town(tmp_path, (SIX, *OTHERS)) as lab:
        status = await lab[SIX.name].ask("status")
        assert status["overlay"]["role"].startswith("client")
        for other in OTHERS:
            for caller, callee in ((SIX, other), (other, SIX)):
                talked = await talk(lab[caller.name], lab[callee.name])
                assert talked.troubles() == []
