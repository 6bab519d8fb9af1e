"""What the service says of its reachability, on real loopback sockets: roles at once, words for people, hooks, tests on demand."""

import pytest
from trio.testing import MockClock

from overlay.reachability import Filtering, Mapping, Role, Verdict
from overlay.sockets import DESTINATIONS_MAX, own_addresses
from overlay.standing import verdict_in_words
from tests.overlay.test_service import introduction, street


async def test_nodes_on_one_host_are_peers_at_once_and_say_so(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(5)
        for service in overlay.nodes:
            assert (service.verdict.role, service.verdict.mapping) == (Role.PEER, Mapping.NONE)
        status = overlay.nodes[1].status()
        assert status["role"].startswith("peer: others can reach this node")
        assert status["mapping"].startswith("no NAT")
        assert status["outer_address"] == status["addresses"][0]
        assert (status["filtering"], status["proved"]) == ("not known yet", "no")


async def test_a_new_verdict_is_told_and_a_test_can_be_asked_for(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(3)
        told: list[Verdict] = []
        node = overlay.nodes[2]
        node.on_verdict(told.append)
        tests = node.peer.dialback.tests_done
        assert await node.retest() == node.verdict
        assert node.peer.dialback.tests_done == tests + 1
        node.network_changed([("192.0.2.7", 5000)])
        await node.retest()
        assert [(verdict.role, verdict.mapping) for verdict in told][-1] == (Role.CLIENT, Mapping.UNKNOWN)
        assert node.status()["role"].startswith("client: ")
        node.network_changed([])
        await node.retest()
        assert told[-1].role is Role.PEER


async def test_a_node_alone_is_a_peer_and_waits_for_no_test(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        alone = await overlay.start("alone")
        assert (await alone.retest()).role is Role.PEER
        assert autojump_clock.current_time() == 0.0


async def test_more_introducers_than_are_greeted_at_first_may_be_gone(autojump_clock: MockClock) -> None:
    async with street(autojump_clock) as overlay:
        await overlay.populate(2)
        newcomer = await overlay.start("newcomer")
        gone = [(overlay.town.device(f"gone{n}").node_key.public, ("127.0.0.1", 9)) for n in range(4)]
        assert await newcomer.join([*gone, introduction(overlay.nodes[0])]) == 2


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("mapping", list(Mapping))
@pytest.mark.parametrize("filtering", list(Filtering))
def test_every_verdict_has_words(role: Role, mapping: Mapping, filtering: Filtering) -> None:
    words = verdict_in_words(Verdict(role, mapping, filtering, ("2001:db8::1", 5), True, 0.0))
    assert set(words) == {"role", "mapping", "filtering", "outer_address", "proved"}
    assert words["outer_address"] == "[2001:db8::1]:5"
    assert str(words["role"]).startswith(role.value)


def test_the_own_addresses_of_a_wildcard_are_those_that_the_kernel_would_send_from() -> None:
    assert own_addresses([("192.0.2.1", 5)], [("127.0.0.1", 9)]) == (("192.0.2.1", 5),)
    many = [(f"127.0.{number}.1", 9) for number in range(DESTINATIONS_MAX + 1)]
    own = own_addresses([("0.0.0.0", 5), ("::", 5)], [*many, ("100::1", 1)])
    assert {("127.0.0.1", 5), ("::1", 5)} <= set(own)
    assert all(port == 5 and host not in ("0.0.0.0", "::") for host, port in own)
