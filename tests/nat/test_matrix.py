"""Every kind of site calls every other: both directions of audio, and the direct path wherever there can be one."""

from pathlib import Path

import pytest

from tests.nat.expected import can_be_direct
from tests.nat.kinds import Kind
from tests.nat.matrix import as_table, run_matrix

MATRIX_SECONDS_MAX = 300


@pytest.mark.nat
@pytest.mark.timeout(MATRIX_SECONDS_MAX)
async def test_every_pair_hears_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = list(Kind)
    talks = await run_matrix(tmp_path, kinds)
    with capsys.disabled():
        print(f"\n{as_table(talks, kinds)}")
    assert len(talks) == len(kinds) ** 2 + 1
    assert [trouble for talk in talks for trouble in talk.troubles()] == []


def test_the_theory() -> None:
    assert all(can_be_direct(one, other) == can_be_direct(other, one) for one in Kind for other in Kind)
    assert can_be_direct(Kind.SYMMETRIC, Kind.ADDRESS_RESTRICTED)
    assert not can_be_direct(Kind.SYMMETRIC, Kind.PORT_RESTRICTED)
    assert not can_be_direct(Kind.CARRIER_GRADE, Kind.SYMMETRIC)
    assert not can_be_direct(Kind.UDP_BLOCKED, Kind.PUBLIC)
    assert can_be_direct(Kind.DUAL_STACK, Kind.DUAL_STACK)
    assert not can_be_direct(Kind.IPV6_ONLY, Kind.FULL_CONE)
