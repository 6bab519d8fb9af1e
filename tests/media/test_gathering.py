"""Candidates of a node, from where its port is bound and where others see it."""

from media.gathering import REFLEXIVE_PER_HOST_MAX, gather


def test_a_nat_that_shows_another_port_to_each_peer_gives_two_candidates_and_not_sixteen() -> None:
    seen = [("203.0.113.1", 40_000 + number) for number in range(16)] + [("198.51.100.1", 5_000)]
    found = gather([("192.168.1.2", 5_000)], seen)
    assert [each.type for each in found] == ["host", "srflx", "srflx", "srflx"]
    assert [each.port for each in found[1:]] == [40_000, 40_001, 5_000]
    assert REFLEXIVE_PER_HOST_MAX == 2
