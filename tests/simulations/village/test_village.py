"""Whole nodes and phones on virtual time: a call is made, and the same seed gives the same village to the byte."""

import os
import subprocess
import sys

from simulations.village.calls import ANSWERED, BUSY, NO_ANSWER
from simulations.village.village import Village

SCRIPT = """
from p2psip.base.chance import Chance
from simulations.network.internet import Internet
from simulations.network.nat import PORT_RESTRICTED, PUBLIC, SYMMETRIC
from simulations.village.village import Village
village = Village(11, network=Internet(Chance.seeded(11)))
hub = village.add()
alice, bob = village.add(nat=SYMMETRIC, at=2), village.add(nat=PORT_RESTRICTED, at=3)
carol = village.add(nat=PUBLIC, at=4)
village.call(alice, bob, 5, at=30)
village.call(carol, alice, 5, at=31)
village.run(50)
print(village.calls, village.wire.counters, village.wire.trace.hexdigest())
"""


def test_two_households_talk() -> None:
    village = Village(7)
    village.add()
    alice, bob = village.add(at=2), village.add(at=2)
    village.call(alice, bob, 10, at=20)
    village.run(40)
    (call,) = village.calls
    assert (call.outcome, call.way, call.relays, call.cause) == (ANSWERED, "direct", 0, "")
    assert call.setup_seconds is not None
    assert call.setup_seconds < 0.4
    assert call.media_seconds is not None
    assert 0 <= call.media_seconds < 0.3
    assert call.spoken in (50, 51)  # one may be under way when the caller hangs up
    assert min(call.heard, call.heard_back) >= 50
    assert call.longest_gap < 0.21
    assert village.wire.counters.delivered == village.wire.counters.sent


def test_busy_and_nobody_there() -> None:
    village = Village(8)
    village.add()
    alice, bob, carol = village.add(at=1), village.add(at=1, ring_seconds=None), village.add(at=1)
    village.call(alice, bob, 10, at=20)
    village.call(carol, bob, 10, at=25)
    village.run(240)
    assert [(call.caller, call.outcome) for call in village.calls] == [
        (carol.address, BUSY),
        (alice.address, NO_ANSWER),
    ]


def test_one_seed_gives_one_village_to_the_byte() -> None:
    told = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert "answered" in told[0]
    assert told[0] == told[1]
