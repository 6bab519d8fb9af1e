"""One agent or two by hand: the playbook of RFC 8445 §7 and §8, on virtual time."""

import pytest

from media import stun
from media.ice.agent import DEADLINE_SECONDS, IceAgent
from media.ice.candidates import local_candidate
from media.ice.checking import CANDIDATES_MAX, EARLY_CHECKS_MAX, PACE_SECONDS
from media.ice.checklist import CHECKS_MAX, PAIRS_MAX, REFUSALS_MAX
from media.ice.events import Failed, Selected, State, Transmit
from media.ice.upkeep import CONSENT_SECONDS
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from tests.media.world import World, agent, introduce, nominated

A: Address = ("192.0.2.1", 4000)
B: Address = ("192.0.2.2", 5000)
ELSEWHERE: Address = ("198.51.100.9", 6000)


def outputs(core: IceAgent) -> list[object]:
    """All that the agent has to say."""
    found: list[object] = []
    while (output := core.poll_output()) is not None:
        found.append(output)
    return found


def sent(core: IceAgent) -> list[tuple[stun.Message, Address]]:
    """The messages among it."""
    return [(stun.parse(each.data), each.destination) for each in outputs(core) if isinstance(each, Transmit)]


def request(to: IceAgent, **attributes: object) -> bytes:
    """A check of a well-behaved peer of role controlled, unless `attributes` say otherwise."""
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    full = (
        {"PRIORITY": 1_000, **named}
        if "ICE-CONTROLLING" in named
        else {"PRIORITY": 1_000, "ICE-CONTROLLED": 1, **named}
    )
    return stun.binding_request(Chance.seeded(str(full).encode()).bytes(12), f"{to.ufrag}:peer", to.password, full)


def talking(seed: int = 1, *, controlling: bool = True) -> IceAgent:
    """An agent that checks one candidate of a peer called `peer`, password `their-password`."""
    core = agent(A, controlling=controlling, seed=seed)
    core.set_remote("peer", "their-password", [local_candidate("host", B, B).to_sdp()], 0.0)
    return core


def test_a_check_carries_what_the_rfc_asks_for() -> None:
    core = talking()
    ((message, destination),) = sent(core)
    stun.verify(message, "their-password")
    assert destination == B
    assert message.attributes["USERNAME"] == f"peer:{core.ufrag}"
    assert message.attributes["PRIORITY"] == (110 << 24) + (65_535 << 8) + 255  # §7.1.1: as if peer-reflexive
    assert "ICE-CONTROLLING" in message.attributes
    assert "USE-CANDIDATE" not in message.attributes
    assert "FINGERPRINT" in message.attributes


def test_a_controlled_agent_never_nominates() -> None:
    core = talking(controlling=False)
    core.receive(request(core, ICE_CONTROLLING=5, USE_CANDIDATE=None), B, 0.0)
    checks = [message for message, _ in sent(core)]
    while (when := core.poll_timeout()) is not None and when < 3.0:
        core.handle_timeout(when)
        checks += [message for message, _ in sent(core)]
    assert len(checks) > 5
    assert all("USE-CANDIDATE" not in each.attributes for each in checks)


def test_two_agents_conclude_on_one_pair_and_then_only_refresh_consent() -> None:
    world = World(1)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a, host_b = world.add(one, A), world.add(other, B)
    introduce(one, other, world.now)
    world.run(2.0)
    assert (nominated(host_a), nominated(host_b)) == ([B], [A])
    before = world.sent
    world.run(60.0)
    assert one.state is other.state is State.CONNECTED
    refreshes = 2 * 2 * 60 / CONSENT_SECONDS  # two agents, a request and an answer each
    assert 0.7 * refreshes <= world.sent - before <= 1.4 * refreshes


def test_candidates_that_never_answer_are_no_longer_checked_once_a_pair_is_nominated() -> None:
    world = World(2)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    world.add(one, A)
    world.add(other, B)
    introduce(one, other, world.now)
    for port in range(20):
        one.add_remote_candidate(local_candidate("host", ("203.0.113.7", 9000 + port), B).to_sdp(), world.now)
    world.run(1.0)
    seen: list[Address] = []

    def watch(_host: object, data: bytes, destination: Address) -> bytes:
        seen.append(destination)
        return data

    world.tap = watch
    world.run(30.0)
    assert one.state is State.CONNECTED
    assert set(seen) == {A, B}


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_role_conflict_is_settled_by_the_tie_breakers(both: bool, seed: int) -> None:
    world = World(seed, latency=(0.001, 0.2))
    one, other = agent(A, controlling=both, seed=10 + seed), agent(B, controlling=both, seed=50 + seed)
    host_a, host_b = world.add(one, A), world.add(other, B)
    introduce(one, other, world.now)
    world.run(DEADLINE_SECONDS)
    assert (nominated(host_a), nominated(host_b)) == ([B], [A])
    assert one.controlling is not other.controlling
    larger = one if one._tie_breaker > other._tie_breaker else other
    assert larger.controlling


@pytest.mark.parametrize(("controlling", "rival"), [(True, "ICE-CONTROLLING"), (False, "ICE-CONTROLLED")])
def test_a_conflict_is_answered_487_or_followed(controlling: bool, rival: str) -> None:
    for tie_breaker, refused in ((0, controlling), (2**64 - 1, not controlling)):
        core = talking(controlling=controlling)
        outputs(core)
        attributes: dict[str, object] = {"PRIORITY": 1, rival: tie_breaker}
        core.receive(stun.binding_request(bytes(12), f"{core.ufrag}:peer", core.password, attributes), B, 0.0)
        answer = sent(core)[0][0]
        stun.verify(answer, core.password)
        assert answer.error_code == (487 if refused else None)
        assert core.controlling == (controlling if refused else not controlling)


def test_two_answers_487_to_checks_of_one_role_switch_it_once() -> None:
    core = talking()
    first = sent(core)[0][0]
    core.handle_timeout(0.1)
    second = sent(core)[0][0]
    for message in (first, second):
        core.receive(stun.binding_error(message, 487, "Role Conflict", "their-password"), B, 0.2)
    assert not core.controlling
    assert all("ICE-CONTROLLED" in message.attributes for message, _ in sent(core))


def test_who_becomes_controlling_after_its_pair_was_valid_nominates_it() -> None:
    core = talking(controlling=False)
    core.receive(stun.binding_success(sent(core)[0][0], A, "their-password"), B, 0.01)
    rival: dict[str, object] = {"PRIORITY": 1, "ICE-CONTROLLED": 0}
    core.receive(stun.binding_request(bytes(12), f"{core.ufrag}:peer", core.password, rival), B, 0.02)
    outputs(core)
    core.handle_timeout(0.02)
    assert any("USE-CANDIDATE" in message.attributes for message, _ in sent(core))


def test_a_check_of_the_peer_is_checked_back_at_once() -> None:
    core = talking()
    outputs(core)
    core.receive(request(core), ELSEWHERE, 0.001)
    (answer, to), (check, back) = sent(core)
    assert (to, back) == (ELSEWHERE, ELSEWHERE)
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == ELSEWHERE
    assert check.message_class == stun.Class.REQUEST


def test_a_check_that_is_under_way_is_repeated_soon_and_not_put_off_by_more_of_the_peers() -> None:
    core = talking()
    outputs(core)
    core.receive(request(core), B, 0.001)
    assert [message.message_class for message, _ in sent(core)] == [stun.Class.RESPONSE]
    core.receive(request(core, SOFTWARE="again"), B, 0.005)
    outputs(core)
    core.handle_timeout(0.001 + PACE_SECONDS)
    assert [(message.message_class, to) for message, to in sent(core)] == [(stun.Class.REQUEST, B)]


def test_a_pair_of_agents_next_to_each_other_needs_six_datagrams() -> None:
    world = World(12, latency=(0.0001, 0.0002))
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a, host_b = world.add(one, A), world.add(other, B)
    introduce(one, other, world.now)
    begun = world.now
    world.run(1.0, until=lambda: bool(nominated(host_a) and nominated(host_b)))
    assert world.sent == 6
    assert world.now - begun < 0.001


def test_checks_that_come_before_the_answer_are_remembered_within_a_bound() -> None:
    core = agent(A)
    for number in range(EARLY_CHECKS_MAX + 1):
        core.receive(request(core), ("198.51.100.1", 6000 + number), 0.0)
    assert len(outputs(core)) == EARLY_CHECKS_MAX + 1  # all are answered
    core.set_remote("peer", "their-password", [], 0.0)
    assert {to for _, to in sent(core)} == {("198.51.100.1", 6001 + number) for number in range(EARLY_CHECKS_MAX)}


def test_a_peer_reflexive_pair_takes_the_priority_that_is_signalled_later() -> None:
    core = talking()
    core.receive(request(core), ELSEWHERE, 0.0)
    learnt = core.checklist.pairs[1]
    assert learnt.remote.type == "prflx"
    core.add_remote_candidate(local_candidate("host", ELSEWHERE, ELSEWHERE).to_sdp(), 0.1)
    assert learnt.remote.type == "host"
    assert len(core.checklist.pairs) == 2


def test_a_candidate_that_comes_late_is_checked_at_once() -> None:
    core = agent(A)
    core.set_remote("peer", "their-password", [], 0.0)
    assert outputs(core) == []
    core.add_remote_candidate(local_candidate("host", B, B).to_sdp(), 3.0)
    assert core.poll_timeout() == 3.0
    core.handle_timeout(3.0)
    assert [to for _, to in sent(core)] == [B]


def test_one_pair_and_one_candidate_over_the_bound() -> None:
    local = [local_candidate("host", ("192.0.2.1", 4000 + n), A) for n in range(CANDIDATES_MAX + 1)]
    core = IceAgent(controlling=True, local=local, chance=Chance.seeded(1))
    assert len(core.local) == CANDIDATES_MAX
    lines = [local_candidate("host", ("192.0.2.2", 5000 + n), B).to_sdp() for n in range(PAIRS_MAX + 1)]
    core.set_remote("peer", "their-password", lines, 0.0)
    assert len(core.checklist.pairs) == PAIRS_MAX
    core.receive(request(core), ELSEWHERE, 0.0)  # it works towards us: a pair that has shown nothing makes room
    assert len(core.checklist.pairs) == PAIRS_MAX
    assert core.checklist.find(ELSEWHERE) is not None
    assert [to for _, to in sent(core)].count(ELSEWHERE) == 2  # the answer, and the check back


def test_checks_that_wait_for_an_answer_stay_within_their_bound() -> None:
    lines = [local_candidate("host", ("192.0.2.2", 5000 + n), B).to_sdp() for n in range(PAIRS_MAX)]
    core = agent(A)
    core.set_remote("peer", "their-password", lines, 0.0)
    while core.state is State.CHECKING:
        when = core.poll_timeout()
        assert when is not None
        core.handle_timeout(when)
        assert len(core._checks) <= CHECKS_MAX
    assert when == DEADLINE_SECONDS
    assert len(sent(core)) > CHECKS_MAX


def test_nothing_answers_and_the_agent_says_so_at_its_deadline() -> None:
    world = World(3)
    one = agent(A)
    host = world.add(one, A)
    one.set_remote("peer", "their-password", [local_candidate("host", B, B).to_sdp()], world.now)
    world.run(60.0)
    ((when, event),) = host.events
    assert isinstance(event, Failed)
    assert event.reason.startswith(
        "no way to the other side was found: every connectivity check failed, and neither side has a relay"
    )
    assert when == pytest.approx(1_000.0 + DEADLINE_SECONDS)
    assert one.poll_timeout() is None


@pytest.mark.parametrize("both", [True, False])
def test_a_wrong_password_is_refused_and_said_clearly_before_the_deadline(both: bool) -> None:
    world = World(4)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a, host_b = world.add(one, A), world.add(other, B)
    one.set_remote(other.ufrag, "another password", [each.to_sdp() for each in other.local], world.now)
    password = "also wrong" if both else one.password
    other.set_remote(one.ufrag, password, [each.to_sdp() for each in one.local], world.now)
    world.run(60.0)
    ((when, event),) = host_a.events
    assert event == Failed("the other side refuses the connectivity checks: it does not know their password")
    # where both refuse, the first to give up leaves the other without an answer
    assert when - 1_000.0 < (DEADLINE_SECONDS + 0.01 if both else DEADLINE_SECONDS / 4)
    assert isinstance(host_b.events[-1][1], Failed)


def test_fewer_refusals_than_the_bound_do_not_end_anything() -> None:
    core = talking()
    now = 0.0
    for _ in range(REFUSALS_MAX - 1):
        core.receive(stun.binding_error(sent(core)[-1][0], 401, "Unauthorized", None), B, now)
        now += 0.5
        core.handle_timeout(now)
    core.receive(stun.binding_success(sent(core)[-1][0], A, "their-password"), B, now)
    assert Selected(B, nominated=False) in outputs(core)


@pytest.mark.parametrize("spoil", ["password", "source", "transaction", "integrity"])
def test_a_forged_answer_makes_no_pair_valid(spoil: str) -> None:
    core = talking()
    check = sent(core)[0][0]
    source = ELSEWHERE if spoil == "source" else B
    if spoil == "transaction":
        check.transaction_id = bytes(12)
    data = stun.binding_success(check, A, "guessed" if spoil == "password" else "their-password")
    if spoil == "integrity":
        plain = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, check.transaction_id, {"XOR-MAPPED-ADDRESS": A})
        data = bytes(plain)
    core.receive(data, source, 0.05)
    assert core.selected is None
    assert outputs(core) == []


@pytest.mark.parametrize(
    ("attributes", "password", "answer"),
    [
        ({"USERNAME": "{ufrag}:peer"}, "{password}", 400),
        ({"PRIORITY": 1}, "{password}", 400),
        ({"USERNAME": "{ufrag}:peer", "PRIORITY": 1}, "guessed", 401),
        ({"USERNAME": "somebody:peer", "PRIORITY": 1}, "{password}", None),
    ],
)
def test_a_forged_request_is_refused_and_changes_nothing(
    attributes: dict[str, object], password: str, answer: int | None
) -> None:
    core = talking()
    outputs(core)
    words = {"ufrag": core.ufrag, "password": core.password}
    filled = {name: value.format(**words) if isinstance(value, str) else value for name, value in attributes.items()}
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, bytes(12), filled)
    message.add_message_integrity(password.format(**words).encode())
    core.receive(bytes(message), ELSEWHERE, 0.0)
    assert [each.error_code for each, _ in sent(core)] == ([] if answer is None else [answer])
    assert len(core.checklist.pairs) == 1


def test_every_datagram_twice_changes_nothing() -> None:
    world = World(5)
    one, other = agent(A), agent(B, controlling=False, seed=2)
    host_a, host_b = world.add(one, A), world.add(other, B)

    def twice(host: object, data: bytes, _destination: Address) -> bytes:
        world.inject(host_b if host is host_a else host_a, data, A if host is host_a else B, 0.06)
        return data

    world.tap = twice
    introduce(one, other, world.now)
    world.run(100.0)
    assert (nominated(host_a), nominated(host_b)) == ([B], [A])
    assert world.sent < 300


def test_ten_thousand_garbage_datagrams_grow_nothing_past_its_bound() -> None:
    core = talking()
    chance = Chance.seeded(6)
    valid = request(core)
    for number in range(10_000):
        data = bytearray(valid) if number % 2 else bytearray(chance.bytes(chance.integer(7)))
        if number % 2:
            data[chance.integer(16) % (len(data) - 8)] ^= 1 + chance.integer(7)
        core.receive(bytes(data), ("203.0.113.1", 1 + number), 0.0)
        outputs(core)
    assert len(core.checklist.pairs) == 1
    assert len(core._checks) == 1
    assert core.selected is None


def test_ten_thousand_honest_looking_checks_grow_nothing_past_its_bound() -> None:
    core = talking()
    for number in range(10_000):
        core.receive(request(core, SOFTWARE=str(number)), ("203.0.113.1", 1 + number), 0.0)
        outputs(core)
    assert len(core.checklist.pairs) <= PAIRS_MAX
    assert len(core._checks) <= CHECKS_MAX
    assert len(core._retransmit) <= PAIRS_MAX


def test_an_agent_that_has_failed_says_nothing_more() -> None:
    core = talking()
    core.handle_timeout(DEADLINE_SECONDS)
    outputs(core)
    core.receive(request(core), B, 9.0)
    core.set_remote("new", "password", [local_candidate("host", B, B).to_sdp()], 9.0)
    core.add_remote_candidate(local_candidate("host", ELSEWHERE, ELSEWHERE).to_sdp(), 9.0)
    core.handle_timeout(20.0)
    assert outputs(core) == []
    assert core.poll_timeout() is None


def test_wrapped_dtls_is_for_the_agent_with_the_password_only() -> None:
    one, other, third = agent(A, seed=1), agent(B, seed=2), agent(B, seed=3)
    introduce(one, other, 0.0)
    wire = one.wrap(b"\x16hello")
    assert other.unwrap(wire) == b"\x16hello"
    assert third.unwrap(wire) is None
    assert other.unwrap(wire[:-1]) is None
    assert other.unwrap(request(other)) is None
