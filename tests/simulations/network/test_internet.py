import os
import subprocess
import sys

import pytest

from p2psip.base.chance import Chance
from simulations.network import latency, nat
from simulations.network.endpoint import Endpoint
from simulations.network.internet import COPY_SECONDS, HOME_SECONDS, LATE_SECONDS, Internet
from simulations.network.model import Network
from simulations.network.survey import CARRIER_GRADE

ARRIVALS = """
import hashlib
from p2psip.base.chance import Chance
from simulations.network.internet import Internet

root = Chance.seeded(42)
network = Internet(root.child("network"), loss=20.0)
hosts = [network.endpoint(number, root.child(f"host {number}")) for number in range(60)]
network.move(hosts[3], root.child("move"))
network.partitions.cut_share(0.3, 30.0, 40.0)
digest = hashlib.sha256()
seen = [host.address for host in hosts]
for step in range(4_000):
    now = step * 0.015
    sender, other = hosts[step * 7 % 60], step * 11 % 59
    for when, source in network.route(now, sender, seen[other], 100 + step % 1_000):
        found = network.deliver(when, seen[other], source)
        digest.update(repr((when, source, found.number if found else None)).encode())
        if found:
            seen[sender.number] = source
print(digest.hexdigest(), network.median_round_trip, sum(host.skew for host in hosts))
"""


def _pure(**settings: float) -> Internet:
    return Internet(Chance.seeded(1), survey=None, **{"loss": 0.0, "copies": 0.0, "late": 0.0, **settings})


def _hosts(network: Internet, count: int) -> list[Endpoint]:
    return [network.endpoint(number, Chance.seeded(number)) for number in range(count)]


def test_the_same_seed_gives_the_same_arrivals_whatever_the_hash_seed() -> None:
    outputs = set()
    for hash_seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", ARRIVALS], env=environment, capture_output=True, text=True, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_a_datagram_takes_latency_and_serialisation() -> None:
    network: Network = _pure(jitter=0.0)
    a, b = (network.endpoint(number, Chance.seeded(number), region=number) for number in range(2))
    wire = 100 + 28
    expected = 10.0 + latency.one_way(a.line, b.line) + wire * (a.line.up_seconds + b.line.down_seconds)
    ((arrival, source),) = network.route(10.0, a, b.address, 100)
    assert arrival == pytest.approx(expected, abs=1e-12)
    assert source == a.address
    assert network.deliver(arrival, b.address, source) is b


def test_jitter_adds_its_mean() -> None:
    network = _pure()
    a, b = _hosts(network, 2)
    least = latency.one_way(a.line, b.line)
    delays = []
    for step in range(20_000):
        ((arrival, _),) = network.route(float(step), a, b.address, 0)
        delays.append(arrival - step - least)
    assert min(delays) > 0.0
    assert sum(delays) / len(delays) == pytest.approx(a.line.jitter + b.line.jitter, rel=0.05)


def test_losses_come_to_those_of_both_lines() -> None:
    network = _pure(loss=10.0)
    a, b = _hosts(network, 2)
    sent = 200_000
    lost = sum(not network.route(step * 0.5, a, b.address, 0) for step in range(sent))
    assert lost / sent == pytest.approx(1 - (1 - a.line.loss) * (1 - b.line.loss), rel=0.1)


def test_copies_and_late_ones_are_as_many_as_stated() -> None:
    network = _pure(jitter=0.0, copies=0.1, late=0.2)
    a, b = _hosts(network, 2)
    copied = late = 0
    usual = min(network.route(float(step), a, b.address, 0)[0][0] - step for step in range(20))
    for step in range(20, 10_020):
        arrivals = network.route(float(step), a, b.address, 0)
        copied += len(arrivals) == 2 and arrivals[1][0] - arrivals[0][0] == pytest.approx(COPY_SECONDS)
        late += arrivals[0][0] - step > usual + 0.9 * LATE_SECONDS
    assert 900 < copied < 1_100
    assert 1_900 < late < 2_100


def test_a_flood_fills_the_queue_and_the_rest_is_dropped() -> None:
    network = _pure(jitter=0.0)
    a, b = _hosts(network, 2)
    a.line.up_seconds = 0.000_007
    arrived = sum(len(network.route(1.0, a, b.address, 1_000 - 28)) for _ in range(100))
    assert arrived == 29  # 29 of 7 ms: the last found 196 ms waiting
    assert a.up_bytes_per_second == pytest.approx(1 / 0.000_007)


def test_lines_have_no_rate_if_none_is_wanted() -> None:
    network = Internet(Chance.seeded(1), survey=None, loss=0.0, bandwidth=False)
    a, b = _hosts(network, 2)
    assert all(network.route(1.0, a, b.address, 1_400) for _ in range(1_000))
    assert a.up_bytes_per_second is None


def test_one_home_shares_a_line_and_is_close() -> None:
    network = _pure()
    a = network.endpoint(0, Chance.seeded(0), nat=nat.PORT_RESTRICTED)
    b = network.endpoint(1, Chance.seeded(1), behind=a)
    assert a.line is b.line
    assert network.route(1.0, a, b.address, 1_000) == ((1.0 + HOME_SECONDS, a.address),)


def test_behind_a_carrier_the_line_of_the_home_counts() -> None:
    network = _pure(jitter=0.0)
    (server,) = _hosts(network, 1)
    homes = [network.endpoint(number, Chance.seeded(number), nat=CARRIER_GRADE, region=3) for number in (1, 2)]
    for home in homes:
        ((when, seen),) = network.route(1.0, home, server.address, 0)
        assert when > 1.0 + home.line.delay + server.line.delay
        ((back, source),) = network.route(2.0, server, seen, 0)
        assert back == pytest.approx(2.0 + latency.one_way(server.line, home.line), abs=1e-3)
        assert network.deliver(back, seen, source) is home


def test_a_mover_keeps_its_region_if_none_is_named_and_its_clock() -> None:
    network = _pure()
    (host,) = _hosts(network, 1)
    region, skew, address = host.region, host.skew, host.address
    network.move(host, Chance.seeded(99))
    assert (host.region, host.skew) == (region, skew)
    assert host.address != address
    network.move(host, Chance.seeded(98), region=7)
    assert host.region == 7


def test_the_median_round_trip_is_that_of_the_model() -> None:
    network = Internet(Chance.seeded(1))
    assert network.median_round_trip == pytest.approx(latency.ROUND_TRIP_MEDIAN, rel=0.03)
