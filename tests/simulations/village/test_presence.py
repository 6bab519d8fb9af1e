"""Presence of whole nodes behind NATs, on virtual time: somebody comes, is cut off, and is back."""

import pytest
import trio

from p2psip.presence.device import ANSWER_SECONDS_MAX
from p2psip.presence.packages import PACKAGES, PRESENCE
from p2psip.presence.pidf import compose
from p2psip.presence.ports import Permissions
from simulations.network.nat import PORT_RESTRICTED, PUBLIC, SYMMETRIC, NatKind
from simulations.village.household import Household, Wishes
from simulations.village.village import Village, _Plan

BEGIN, COME, GO, BACK, END = 30.0, 60.0, 130.0, 300.0, 360.0
CLOSED_SECONDS_MAX = Permissions().watch_seconds / 2 + ANSWER_SECONDS_MAX + 1
OPEN_SECONDS_MAX = 20.0
"""From the start of a node: it joins, its phone registers, it is published, and holders tell."""


def watch(watcher: Household, watched: Household, told: list[tuple[float, bool]]) -> None:
    """Note each change that the watcher's node learns of."""
    assert watcher.node is not None
    presence = watcher.node.presence

    def changed(_package: str, _address: str) -> None:
        states = presence._people[PRESENCE, watched.address].person.states
        is_open = compose(states).is_open  # type: ignore[arg-type]
        if trio.current_time() < END and (told[-1][1] if told else False) != is_open:
            told.append((trio.current_time(), is_open))

    presence._person_changed = changed  # type: ignore[assignment, method-assign]
    presence._watch(PACKAGES[PRESENCE], watched.address)


def cut_off(household: Household) -> None:
    """The node and its phone end without a word."""
    assert household.scope is not None
    household.scope.cancel()


@pytest.mark.parametrize(("here", "there"), [(PUBLIC, PUBLIC), (SYMMETRIC, PORT_RESTRICTED)])
def test_somebody_comes_is_cut_off_and_is_back(here: NatKind, there: NatKind) -> None:
    village = Village(5)
    for number in range(5):
        village.add(nat=PUBLIC, volunteer=number < 3)
    alice, bob = village.add(nat=here, at=5), village.add(nat=there, at=COME)
    told: list[tuple[float, bool]] = []
    village.at(BEGIN, lambda: watch(alice, bob, told))
    village.at(GO, lambda: cut_off(bob))
    village._plans.append(_Plan(BACK, bob, Wishes()))
    village.run(END)
    assert [is_open for _when, is_open in told] == [True, False, True]
    came, went, back = (when for when, _is_open in told)
    assert came - COME < OPEN_SECONDS_MAX
    assert went - GO < CLOSED_SECONDS_MAX
    assert back - BACK < OPEN_SECONDS_MAX
