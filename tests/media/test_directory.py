"""Which agent a datagram on the one port is for: by user name fragment, by transaction, within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import stun
from media.ice import directory as directory_module
from media.ice.directory import AGENTS_MAX, CHECKS_MAX, AgentDirectory
from media.ice.events import Transmit
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from tests.media.world import agent

A: Address = ("192.0.2.1", 4000)
B: Address = ("192.0.2.2", 5000)


def check_for(ufrag: str, number: int = 0) -> bytes:
    """A request that names the agent `ufrag`."""
    return stun.binding_request(number.to_bytes(12, "big"), f"{ufrag}:peer", "secret", {"PRIORITY": 1})


def test_a_request_and_an_indication_find_the_agent_that_they_name() -> None:
    directory = AgentDirectory()
    agents = [agent(A, seed=seed) for seed in range(5)]
    assert all(directory.add(each) for each in agents)
    for each in agents:
        assert directory.find(check_for(each.ufrag)) is each
        assert directory.find(stun.dtls_indication(bytes(12), f"{each.ufrag}:peer", "x", b"\x16")) is each
    assert directory.find(check_for("nobody")) is None
    assert directory.find(check_for(agents[0].ufrag + "0")) is None


def test_an_answer_finds_who_asked_once() -> None:
    directory = AgentDirectory()
    one, other = agent(A, seed=1), agent(A, seed=2)
    directory.add(one)
    directory.add(other)
    other.set_remote("peer", "secret", ["1 1 udp 1 192.0.2.2 5000 typ host"], 0.0)
    check = other.poll_output()
    assert isinstance(check, Transmit)
    directory.note_check(check.data, other)
    answer = stun.binding_success(stun.parse(check.data), A, "secret")
    assert directory.find(answer) is other
    assert directory.find(answer) is None


def test_an_agent_that_has_gone_is_found_by_nothing() -> None:
    directory = AgentDirectory()
    one = agent(A)
    directory.add(one)
    directory.note_check(check_for("peer"), one)
    directory.remove(one)
    directory.remove(one)
    assert len(directory) == 0
    assert directory.find(check_for(one.ufrag)) is None
    assert directory.find(stun.binding_success(stun.parse(check_for("peer")), A, "secret")) is None


def test_one_agent_over_the_bound_is_refused() -> None:
    directory = AgentDirectory()
    chance = Chance.seeded(1)
    for _ in range(AGENTS_MAX):
        each = agent(A)
        each._credentials.ufrag = chance.token(4)
        assert directory.add(each)
    assert not directory.add(agent(A, seed=99))
    assert len(directory) == AGENTS_MAX


def test_two_agents_of_one_name_are_not_mixed_up() -> None:
    directory = AgentDirectory()
    one, same = agent(A, seed=1), agent(A, seed=1)
    assert directory.add(one)
    assert not directory.add(same)
    directory.remove(same)
    assert directory.find(check_for(one.ufrag)) is one


def test_one_check_over_the_bound_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CHECKS_MAX == 32_768
    monkeypatch.setattr(directory_module, "CHECKS_MAX", 100)
    directory = AgentDirectory()
    one = agent(A)
    directory.add(one)
    for number in range(101):
        directory.note_check(check_for("peer", number), one)
    answers = [stun.binding_success(stun.parse(check_for("peer", number)), A, "secret") for number in range(101)]
    assert directory.find(answers[0]) is None
    assert directory.find(answers[1]) is one
    assert directory.find(answers[100]) is one


@given(st.binary(max_size=100), st.sampled_from([b"\x00\x01", b"\x00\x11", b"\x01\x01", b"\x03\x11"]))
def test_anything_that_looks_like_stun_finds_nobody_or_somebody(body: bytes, kind: bytes) -> None:
    directory = AgentDirectory()
    directory.add(agent(A))
    data = kind + len(body).to_bytes(2, "big") + check_for("x")[4:20] + body
    assert stun.is_stun(data)
    assert directory.find(data) is None
