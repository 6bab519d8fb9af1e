"""The named fits against the figures that their sources give."""

import pytest

from simulations.workloads.sessions import (
    BITTORRENT,
    KAD,
    KAD_AWAY,
    KAD_FIRST,
    SESSIONS,
    SKYPE_RELAY,
    SKYPE_SUPERNODE,
    absences,
    sessions,
)


def test_the_fits_of_kad_are_near_the_means_of_the_samples() -> None:
    assert KAD.mean / 60 == pytest.approx(266.5, rel=0.1)
    assert KAD_FIRST.mean / 60 == pytest.approx(670.7, rel=0.1)
    assert KAD_AWAY.mean / 60 == pytest.approx(1_110.2, rel=0.2)


def test_medians_of_skype_and_a_torrent() -> None:
    assert SKYPE_SUPERNODE.median == pytest.approx(5.5 * 3_600)
    assert SKYPE_RELAY.median == pytest.approx(3.5 * 3_600)
    assert BITTORRENT.median / 60 == pytest.approx(22.5, rel=0.01)


@pytest.mark.parametrize("kind", sorted(SESSIONS))
@pytest.mark.parametrize("minutes", [20.0, 60.0])
def test_any_kind_is_scaled_to_the_mean_that_is_asked_for(kind: str, minutes: float) -> None:
    assert sessions(minutes, kind).mean == pytest.approx(60 * minutes)


def test_half_of_the_sessions_are_much_shorter_than_the_mean() -> None:
    assert sessions(60.0).median / 60 == pytest.approx(22.7, rel=0.01)
    assert absences(60.0).mean == pytest.approx(3_600.0)
