"""Participants on virtual time: whoever is published is found, whoever has withdrawn is not, and one seed gives one run."""

from overlay.participant import CanaryDone
from overlay.reachability import Role
from tests.overlay.village import Village, core, count_found, person


def test_whoever_is_published_is_found_by_all() -> None:
    village = Village(seed=1)
    village.settle(20)
    published = village.publish(village.nodes[7])
    assert published.holders >= 8
    assert published.refusal is None
    assert village.wait(village.nodes[7], CanaryDone) == CanaryDone(person(village.nodes[7]), True)
    assert core(village.nodes[7]).last_canary == "found again"
    assert count_found(village, person(village.nodes[7])) == [1] * 20
    found = village.seek(village.nodes[3], person(village.nodes[7])).found
    assert found.cached
    assert found.registrations[0].addresses == (village.nodes[7].address,)


def test_who_has_withdrawn_is_found_by_nobody() -> None:
    village = Village(seed=2)
    village.settle(10)
    village.publish(village.nodes[4])
    village.withdraw(village.nodes[4])
    assert core(village.nodes[4]).published == ()
    assert count_found(village, person(village.nodes[4])) == [0] * 10
    village.run(700)
    assert count_found(village, person(village.nodes[4])) == [0] * 10
    assert village.seek(village.nodes[5], person(village.nodes[4])).found.name_exists


def test_a_client_names_no_address_of_its_own() -> None:
    village = Village(seed=19)
    village.settle(6)
    node = village.add(role=Role.CLIENT)
    core(node).bound = (node.address,)
    core(node).note_local([node.address], village.now)
    village.enter(node, village.nodes[1])
    assert core(node).where() == ((), ())
    assert core(village.nodes[1]).where() == ((village.nodes[1].address,), ())
    village.publish(node)
    (found,) = village.seek(village.nodes[3], person(node)).found.registrations
    assert found.ways == ()


def test_what_is_bound_is_told_as_long_as_the_host_has_it() -> None:
    village = Village(seed=24)
    node = village.add()
    core(node).bound = (("0.0.0.0", 5000), ("192.0.2.7", 5000))
    core(node).note_local([("127.0.0.1", 5000), ("192.0.2.7", 5000)], village.now)
    assert core(node).where() == ((("192.0.2.7", 5000),), ())
    core(node).network_changed([("192.0.2.8", 5000)], village.now)
    assert core(node).where() == ((), ())


def test_one_seed_gives_one_run() -> None:
    traces = []
    for _ in range(2):
        village = Village(seed=23)
        village.settle(8)
        village.publish(village.nodes[3])
        village.run(700)
        traces.append(village.trace)
    assert traces[0] == traces[1]
