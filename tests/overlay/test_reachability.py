"""The verdict as a pure core: votes and probes in, mapping, filtering and role out."""

from dataclasses import replace

import pytest

from overlay.reachability import (
    EARLY_MAX,
    FRESH_SECONDS,
    LOCAL_MAX,
    PROBERS_MAX,
    SILENT_TRIES_NEEDED_WHEN_PROVED,
    VOTES_MAX,
    Filtering,
    Mapping,
    Reachability,
    Role,
    Verdict,
    is_news,
)
from overlay.touched import TOUCHED_MAX, UNTOUCHED_SECONDS, Touched
from p2psip.base.core import Address

LOCAL: Address = ("192.168.1.5", 5000)
OUTER: Address = ("20.9.9.5", 20_000)
A, B, C, D = "20.1.100.1", "20.1.101.1", "20.1.102.1", "20.1.103.1"


def node(seen: Address = OUTER, *, role: Role | None = None, voters: tuple[str, ...] = (A, B)) -> Reachability:
    """A node that these voters see at `seen`; it has sent to all of them."""
    reach = Reachability(0.0, role)
    reach.note_local([LOCAL, ("0.0.0.0", 5000)], 0.0)
    for host in voters:
        reach.note_sent((host, 5000), 1.0)
        assert not reach.note_seen(host.encode(), host, seen, 1.0)
    return reach


def try_once(
    reach: Reachability, promised: list[str], came: list[Address], now: float, *, elsewhere: bool = True
) -> None:
    """One try: these hosts promise to probe, and probes come from there."""
    reach.begin_try()
    reach.note_promised(promised, elsewhere, now)
    for source in came:
        reach.note_probe(source, now)
    reach.end_try(now)


def facts(reach: Reachability) -> tuple[Role, Mapping, Filtering, bool]:
    """The verdict without address and time."""
    verdict = reach.verdict
    return verdict.role, verdict.mapping, verdict.filtering, verdict.proved


def test_whom_nobody_has_seen_is_a_peer() -> None:
    reach = node(voters=())
    assert facts(reach) == (Role.PEER, Mapping.UNKNOWN, Filtering.UNKNOWN, False)
    assert reach.verdict.address is None


@pytest.mark.parametrize(
    ("seen", "role", "mapping"),
    [(LOCAL, Role.PEER, Mapping.NONE), (OUTER, Role.CLIENT, Mapping.ENDPOINT_INDEPENDENT)],
)
def test_untested_a_node_is_a_peer_only_at_an_address_of_its_own(seen: Address, role: Role, mapping: Mapping) -> None:
    reach = node(seen)
    assert facts(reach) == (role, mapping, Filtering.UNKNOWN, False)
    assert (reach.verdict.address, reach.is_client) == (seen, role is Role.CLIENT)


def test_behind_a_firewall_that_nobody_else_could_test_it_is_a_client() -> None:
    """In a small overlay everybody was sent something: then the tester's own silence from another port must do."""
    reach = node(LOCAL)
    try_once(reach, [], [], 2.0)
    assert facts(reach)[0] is Role.PEER
    try_once(reach, [], [], 3.0)
    assert facts(reach) == (Role.CLIENT, Mapping.NONE, Filtering.ADDRESS_AND_PORT_DEPENDENT, False)
    try_once(reach, [C], [(C, 5000)], 4.0)
    assert facts(reach)[0] is Role.PEER


def test_one_vote_of_an_outer_address_makes_a_client_of_an_unknown_mapping() -> None:
    assert facts(node(voters=(A,)))[:2] == (Role.CLIENT, Mapping.UNKNOWN)


def test_votes_that_differ_show_an_address_dependent_mapping() -> None:
    """RFC 5780 §4.3."""
    reach = node(voters=(A,))
    reach.note_seen(b"other", B, (OUTER[0], 20_001), 1.0)
    assert reach.verdict.mapping is Mapping.DEPENDENT


def test_one_liar_among_three_changes_no_mapping() -> None:
    reach = node()
    reach.note_seen(b"liar", C, ("20.6.6.6", 66), 1.0)
    assert (reach.verdict.mapping, reach.verdict.address) == (Mapping.ENDPOINT_INDEPENDENT, OUTER)


def test_many_nodes_of_one_host_have_one_vote() -> None:
    reach = node()
    for number in range(10):
        reach.note_seen(bytes([number]), C, ("20.6.6.6", 66), 1.0)
    assert reach.verdict.address == OUTER


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([(C, 5000)], (Role.PEER, Filtering.ENDPOINT_INDEPENDENT, True)),
        ([(A, 6000)], (Role.CLIENT, Filtering.ADDRESS_DEPENDENT, False)),
        ([], (Role.CLIENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, False)),
    ],
)
def test_each_probe_tells_its_filtering(came: list[Address], expected: tuple[Role, Filtering, bool]) -> None:
    """RFC 5780 §4.4: C was sent nothing, of A only another port is strange."""
    reach = node()
    for now in (2.0, 3.0):
        try_once(reach, [C, D], came, now)
    role, _mapping, filtering, proved = facts(reach)
    assert (role, filtering, proved) == expected


def test_one_silent_try_says_nothing_yet() -> None:
    reach = node(LOCAL)
    try_once(reach, [C], [], 2.0)
    assert (facts(reach)[0], reach.has_silent_probers, reach.is_doubtful) == (Role.PEER, True, True)
    try_once(reach, [D], [], 3.0)
    assert (facts(reach)[0], reach.is_refuted, reach.is_doubtful) == (Role.CLIENT, True, False)
    assert reach.verdict.since == 3.0


def test_a_probe_of_a_host_that_we_have_sent_to_proves_nothing_and_its_silence_neither() -> None:
    reach = node(LOCAL)
    try_once(reach, [A, B], [(A, 5000)], 2.0, elsewhere=False)
    try_once(reach, [A, B], [], 2.0, elsewhere=False)
    assert facts(reach) == (Role.PEER, Mapping.NONE, Filtering.UNKNOWN, False)
    assert not reach.is_waiting


def test_who_is_sent_to_while_the_probe_is_awaited_proves_nothing_either() -> None:
    reach = node()
    reach.begin_try()
    reach.note_promised([C, D], False, 2.0)
    assert reach.is_waiting
    for host in (C, D):
        reach.note_sent((host, 5000), 2.1)
        reach.note_probe((host, 5000), 2.2)
    reach.end_try(3.0)
    assert (reach.verdict.proved, reach.is_refuted) == (False, False)


def test_after_a_long_silence_a_host_may_prove_again() -> None:
    reach = node()
    reach.note_probe((A, 5000), UNTOUCHED_SECONDS)
    assert not reach.verdict.proved
    reach.note_probe((A, 5000), 1.0 + UNTOUCHED_SECONDS)
    assert reach.verdict.proved


def test_a_probe_before_the_answer_that_promises_it_counts() -> None:
    reach = node()
    reach.begin_try()
    reach.note_probe((C, 5000), 2.0)
    reach.note_promised([C], True, 2.1)
    assert not reach.is_waiting
    reach.end_try(2.1)
    assert facts(reach) == (Role.PEER, Mapping.ENDPOINT_INDEPENDENT, Filtering.ENDPOINT_INDEPENDENT, True)


def test_a_proof_falls_only_after_more_silence() -> None:
    reach = node()
    try_once(reach, [C], [(C, 5000)], 2.0)
    for number in range(SILENT_TRIES_NEEDED_WHEN_PROVED):
        assert reach.verdict.proved
        try_once(reach, [C, D], [], 300.0 + number)
    assert facts(reach)[0] is Role.CLIENT
    reach.note_probe((C, 5000), 400.0)
    assert facts(reach)[0] is Role.PEER


def test_a_request_out_of_the_blue_is_a_proof_too() -> None:
    reach = node()
    reach.note_unasked((A, 7000), 2.0)
    assert not reach.verdict.proved
    reach.note_unasked((C, 5000), 2.0)
    assert reach.verdict.proved


def test_a_request_before_anybody_has_seen_us_is_judged_later() -> None:
    reach = node(voters=())
    for number in range(EARLY_MAX + 1):
        reach.note_unasked((f"20.1.{number}.7", 5000), 1.0)
    assert not reach.verdict.proved
    assert len(reach._early) == EARLY_MAX
    reach.note_seen(b"A", A, OUTER, 1.0)
    assert reach.verdict.proved


@pytest.mark.parametrize("host", ["192.168.1.9", "10.0.0.1", "127.0.0.1", "100::8000:0:0:1", "2001:db8::7"])
def test_a_neighbour_a_relay_and_another_family_prove_nothing(host: str) -> None:
    reach = node()
    reach.note_unasked((host, 5000), 2.0)
    reach.note_probe((host, 5000), 2.0)
    try_once(reach, [host, host], [], 2.0, elsewhere=False)
    try_once(reach, [host, host], [], 2.0, elsewhere=False)
    assert (reach.verdict.proved, reach.is_refuted) == (False, False)


def test_votes_over_relays_and_of_synthetic_addresses_are_none() -> None:
    reach = node(voters=())
    reach.note_seen(b"A", "100::1", OUTER, 1.0)
    reach.note_seen(b"B", B, ("100::8000:0:0:1", 1), 1.0)
    assert reach.verdict.address is None


def test_a_new_address_is_believed_when_a_second_host_sees_it_and_all_begins_anew() -> None:
    reach, moved = node(voters=(A, B, C)), ("20.9.9.77", 9)
    try_once(reach, [D], [(D, 5000)], 2.0)
    assert reach.verdict.proved
    assert not reach.note_seen(A.encode(), A, moved, 100.0)
    assert reach.is_suspicious
    assert (reach.verdict.proved, reach.verdict.address) == (True, OUTER)
    assert reach.note_seen(B.encode(), B, moved, 101.0)
    assert not reach.is_suspicious
    assert facts(reach) == (Role.CLIENT, Mapping.ENDPOINT_INDEPENDENT, Filtering.UNKNOWN, False)
    assert reach.verdict.address == moved


def test_a_new_address_that_others_do_not_see_is_a_lie_and_forgotten() -> None:
    reach, lie = node(voters=(A, B, C)), ("20.6.6.6", 66)
    reach.note_seen(A.encode(), A, lie, 100.0)
    reach.note_seen(B.encode(), B, OUTER, 101.0)
    assert not reach.note_seen(C.encode(), C, OUTER, 102.0)
    assert not reach.is_suspicious
    assert reach.verdict.address == OUTER
    reach.note_seen(A.encode(), A, OUTER, 103.0)
    reach.note_seen(A.encode(), A, lie, 104.0)
    reach.note_seen(b"other", D, OUTER, 105.0 + FRESH_SECONDS)
    assert not reach.is_suspicious


def test_an_address_dependent_nat_changes_ports_without_being_suspected() -> None:
    reach = node(voters=(A,))
    reach.note_seen(b"other", B, (OUTER[0], 20_001), 1.0)
    for number in range(20):
        assert not reach.note_seen(b"other", B, (OUTER[0], 20_002 + number), 100.0 + number)
    assert not reach.is_suspicious
    assert reach.verdict.mapping is Mapping.DEPENDENT


def test_a_client_whose_mapping_has_only_expired_stays_one_of_the_same_kind() -> None:
    reach = node()
    for now in (2.0, 3.0):
        try_once(reach, [C, D], [], now)
    before = facts(reach)
    reach.note_seen(A.encode(), A, (OUTER[0], 7), 100.0)
    assert reach.note_seen(B.encode(), B, (OUTER[0], 7), 100.0)
    assert facts(reach) == before
    assert reach.verdict.address == (OUTER[0], 7)
    reach.note_seen(A.encode(), A, ("20.9.8.1", 7), 200.0)
    assert reach.note_seen(B.encode(), B, ("20.9.8.1", 7), 200.0)
    assert not reach.is_refuted


def test_another_port_of_an_address_dependent_nat_is_no_news() -> None:
    dependent = Verdict(Role.CLIENT, Mapping.DEPENDENT, Filtering.UNKNOWN, OUTER, False, 1.0)
    assert not is_news(dependent, replace(dependent, address=(OUTER[0], 7), since=2.0))
    assert is_news(dependent, replace(dependent, address=("20.9.8.1", 7)))
    fixed = replace(dependent, mapping=Mapping.ENDPOINT_INDEPENDENT)
    assert is_news(fixed, replace(fixed, address=(OUTER[0], 7)))
    assert is_news(fixed, dependent)


def test_a_node_of_a_local_network_that_is_seen_from_outside_is_tested_anew() -> None:
    reach = node(LOCAL, voters=("192.168.1.9",))
    reach.note_unasked(("192.168.1.7", 5000), 2.0)
    assert facts(reach) == (Role.PEER, Mapping.NONE, Filtering.ENDPOINT_INDEPENDENT, True)
    assert reach.note_seen(b"A", A, OUTER, 3.0)
    assert facts(reach) == (Role.CLIENT, Mapping.UNKNOWN, Filtering.UNKNOWN, False)
    assert not reach.note_seen(b"B", B, OUTER, 4.0)
    assert reach.verdict.mapping is Mapping.ENDPOINT_INDEPENDENT


def test_one_stranger_in_a_local_network_is_not_believed() -> None:
    reach = node(LOCAL)
    reach.note_seen(b"C", C, OUTER, 3.0)
    assert facts(reach)[:2] == (Role.PEER, Mapping.NONE)


def test_ipv4_counts_as_soon_as_it_is_there() -> None:
    reach = node(("2001:db8::5", 5000), voters=("2001:db8:1::1", "2001:db8:2::1"))
    reach.note_probe(("2001:db8:3::1", 5000), 2.0)
    assert (reach.verdict.proved, reach.can_test(A)) == (True, False)
    assert reach.note_seen(b"A", A, OUTER, 3.0)
    assert (reach.verdict.proved, reach.verdict.address) == (False, OUTER)
    assert (reach.can_test(A), reach.can_test("2001:db8:1::1")) == (True, False)


def test_a_changed_network_forgets_everything_but_the_role() -> None:
    reach = node()
    try_once(reach, [C], [(C, 5000)], 2.0)
    reach.note_changed(3.0)
    assert facts(reach) == (Role.PEER, Mapping.UNKNOWN, Filtering.UNKNOWN, False)
    assert len(reach.touched) == 0
    reach.note_probe((A, 5000), 3.0)
    reach.note_seen(b"A", A, OUTER, 3.0)
    assert reach.verdict.proved


@pytest.mark.parametrize("role", list(Role))
def test_a_setting_forces_the_role_and_not_the_facts(role: Role) -> None:
    reach = node(role=role)
    assert facts(reach)[0] is role
    try_once(reach, [C], [(C, 5000)], 2.0)
    assert facts(reach) == (role, Mapping.ENDPOINT_INDEPENDENT, Filtering.ENDPOINT_INDEPENDENT, True)
    for number in range(SILENT_TRIES_NEEDED_WHEN_PROVED):
        try_once(reach, [C, D], [], 3.0 + number)
    assert reach.is_refuted
    assert facts(reach)[0] is role


def test_old_votes_and_the_verdict_of_a_quiet_node_stay() -> None:
    reach = node()
    for now in (10_000.0, 10_001.0):
        try_once(reach, [C, D], [], now)
    assert facts(reach)[:2] == (Role.CLIENT, Mapping.ENDPOINT_INDEPENDENT)


def test_one_over_each_bound() -> None:
    reach = node(voters=())
    for number in range(VOTES_MAX + 1):
        reach.note_seen(bytes([number]), f"20.1.{number}.1", OUTER, 1.0)
    assert len(reach._votes) == VOTES_MAX
    reach.note_local([("192.168.1.5", number) for number in range(LOCAL_MAX + 1)], 1.0)
    assert len(reach._local) == LOCAL_MAX
    reach.note_promised([f"20.1.{number}.2" for number in range(PROBERS_MAX + 1)], False, 1.0)
    assert len(reach._probers) == PROBERS_MAX


def test_when_one_address_too_many_was_sent_to_no_host_is_strange_for_a_while() -> None:
    touched = Touched()
    for number in range(TOUCHED_MAX):
        touched.note((f"10.1.{number >> 8}.{number & 255}", 5), 1.0 + number / TOUCHED_MAX)
    assert not touched.has_host("192.0.2.1", 2.0)
    touched.note(("10.2.0.0", 5), 2.0)
    assert TOUCHED_MAX // 2 < len(touched) <= TOUCHED_MAX
    assert touched.has_host("192.0.2.1", 2.0)
    assert touched.has_address(("192.0.2.1", 5), 2.0)
    assert not touched.has_host("192.0.2.1", 2.0 + UNTOUCHED_SECONDS)
    assert touched.latest_hosts(2) == ["10.2.0.0", f"10.1.{(TOUCHED_MAX - 1) >> 8}.{(TOUCHED_MAX - 1) & 255}"]
    touched.forget_before(2.0)
    assert len(touched) == 1
