"""The checklist and the credentials of a peer: who is nominated, who is given up, and the bounds."""

import pytest

from media import stun
from media.ice.agent import IceAgent
from media.ice.candidates import CREDENTIAL_CHARACTERS_MAX, PairState, local_candidate, relay_candidate
from media.ice.checking import FIRST_CHECKS, PACE_SECONDS
from media.ice.checklist import ATTEMPTS_MAX, CHECKS_MAX, PAIRS_MAX, Check, Checklist, Checks
from media.ice.events import State, Transmit
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from tests.media.world import agent

A: Address = ("192.0.2.1", 4000)
B: Address = ("192.0.2.2", 5000)


def filled(count: int) -> Checklist:
    """A checklist of `count` pairs, the first the best."""
    checklist = Checklist()
    for number in range(count):
        remote = local_candidate("host", ("192.0.2.2", 5000 + number), B, 65_535 - number)
        checklist.pair_up([local_candidate("host", A, A)], [remote])
    return checklist


def test_what_is_nominated_once_is_nominated_again_though_better_has_come() -> None:
    better, worse = filled(2).pairs
    checklist = Checklist()
    checklist.pairs = [better, worse]
    worse.state, worse.nominated = PairState.SUCCEEDED, True
    better.state = PairState.SUCCEEDED
    assert checklist.best_valid(True) is better
    assert checklist.nominee() is worse


def test_one_relay_is_better_than_two_of_higher_priority() -> None:
    host = local_candidate("host", ("2001:db8::1", 5_000), ("2001:db8::1", 5_000))
    ours = relay_candidate(1, ("192.0.2.1", 5_001), ("2001:db8::1", 5_000))
    theirs = relay_candidate(9, ("192.0.2.9", 5_002), ("192.0.2.8", 5_000))
    also_theirs = relay_candidate(9, ("2001:db8::9", 5_003), ("192.0.2.8", 5_000), 40_000)
    checklist = Checklist()
    checklist.pair_up([host, ours], [theirs, also_theirs])
    for pair in checklist.pairs:
        pair.state = PairState.SUCCEEDED
    assert max(checklist.pairs, key=lambda each: each.priority(True)).relays == 2
    best = checklist.best_valid(True)
    assert best is not None
    assert best.remote is also_theirs
    assert best.relays == 1


def test_a_nominee_that_no_longer_answers_is_given_up_for_the_next() -> None:
    checklist = filled(2)
    best, second = checklist.pairs
    for pair in (best, second):
        pair.state = PairState.SUCCEEDED
    best.nominated, best.attempts = True, ATTEMPTS_MAX
    assert checklist.nominee() is second
    assert best.state is PairState.FAILED
    second.state = PairState.FAILED
    assert checklist.nominee() is None


def test_a_controlling_agent_whose_nominee_dies_settles_on_another() -> None:
    core = agent(A)
    lines = [local_candidate("host", ("192.0.2.2", 5000 + n), B, 65_535 - n).to_sdp() for n in range(2)]
    core.set_remote("peer", "password", lines, 0.0)
    answered: set[int] = set()
    now = 0.0
    while now < 3.0 and core.selected != core.checklist.pairs[1]:
        while (output := core.poll_output()) is not None:
            if not isinstance(output, Transmit):
                continue
            message, port = stun.parse(output.data), output.destination[1]
            if port == 5001 or port not in answered:  # the better one answers its first check, and no other
                answered.add(port)
                core.receive(stun.binding_success(message, A, "password"), output.destination, now)
        now = core.poll_timeout() or now
        core.handle_timeout(now)
    assert core.state is State.CONNECTED
    assert core.selected is core.checklist.pairs[1]


def test_one_pair_and_one_check_over_the_bound() -> None:
    assert len(filled(PAIRS_MAX + 1).pairs) == PAIRS_MAX
    checks = Checks()
    pair = filled(1).pairs[0]
    for number in range(CHECKS_MAX + 1):
        checks.add(number.to_bytes(12, "big"), Check(pair, nominate=False, controlling=True, sent_at=number))
    assert len(checks) == CHECKS_MAX
    assert checks.get(bytes(12)) is None
    assert checks.get((1).to_bytes(12, "big")) is not None


def test_no_more_lines_are_read_than_there_can_be_pairs() -> None:
    def endless() -> object:
        for number in range(PAIRS_MAX + 1):
            assert number < PAIRS_MAX
            yield "rubbish"

    core = agent(A)
    core.set_remote("peer", "password", endless(), 0.0)  # type: ignore[arg-type]
    assert core.checklist.pairs == []


@pytest.mark.parametrize("text", ["", "two words:", "a:b", "é", "line\nbreak", "x" * (CREDENTIAL_CHARACTERS_MAX + 1)])
def test_credentials_that_cannot_be_used_are_refused(text: str) -> None:
    for ufrag, password in ((text, "password"), ("ufrag", text)):
        core = agent(A)
        with pytest.raises(RemoteError) as caught:
            core.set_remote(ufrag, password, [], 0.0)
        assert caught.value.status == 488
        assert core.state is State.GATHERED


def test_the_longest_credentials_fit_a_check() -> None:
    longest = "x" * CREDENTIAL_CHARACTERS_MAX
    core = agent(A)
    core.set_remote(longest, longest, [local_candidate("host", B, B).to_sdp()], 0.0)
    check = core.poll_output()
    assert isinstance(check, Transmit)
    assert stun.is_stun(check.data)


def test_kinds_of_pairs_take_turns() -> None:
    here = [local_candidate("host", ("192.0.2.1", 4000), ("192.0.2.1", 4000))]
    far = [local_candidate("host", ("198.51.100.1", 5000 + n), ("198.51.100.1", 5000 + n)) for n in range(3)]
    relay = local_candidate("relay", ("203.0.113.1", 6000), ("198.51.100.1", 5000))
    checklist = Checklist()
    checklist.pair_up(here, [*far, relay])
    order: list[str] = []
    while (pair := checklist.next_waiting(True)) is not None:
        pair.state = PairState.IN_PROGRESS
        order.append(pair.remote.type)
    assert order == ["host", "relay", "host", "host"]


def test_the_first_checks_leave_together_and_one_more_a_pace_later() -> None:
    one = agent(("192.0.2.1", 4000))
    far = [("198.51.100.1", 5000 + number) for number in range(FIRST_CHECKS + 1)]
    one.set_remote("ufrag", "password", [local_candidate("host", each, each).to_sdp() for each in far], 0.0)
    assert len(_taken(one)) == FIRST_CHECKS
    one.handle_timeout(PACE_SECONDS)
    assert len(_taken(one)) == 1


def _taken(one: IceAgent) -> list[object]:
    found: list[object] = []
    while (output := one.poll_output()) is not None:
        found.append(output)
    return found
