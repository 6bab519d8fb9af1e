"""Votes about our own address: agreement, and what to say before there is one."""

from overlay.votes import VOTES_MAX, AddressVotes

HERE, LAN, OUTSIDE = ("127.0.0.1", 7), ("192.168.1.5", 7), ("192.0.2.1", 7)


def votes(*seen: tuple[str, int]) -> AddressVotes:
    found = AddressVotes()
    for number, address in enumerate(seen):
        found.cast(bytes([number]), address)
    return found


def test_nobody_has_seen_us() -> None:
    assert (votes().agreed, votes().candidates) == (None, ())


def test_one_vote_is_no_agreement_but_better_than_nothing() -> None:
    assert (votes(OUTSIDE).agreed, votes(OUTSIDE).candidates) == (None, (OUTSIDE,))


def test_two_who_agree_outvote_one() -> None:
    assert votes(LAN, OUTSIDE, OUTSIDE).agreed == OUTSIDE
    assert votes(LAN, OUTSIDE, OUTSIDE).candidates == (OUTSIDE,)


def test_without_agreement_the_latest_comes_first_and_loopback_last() -> None:
    assert votes(LAN, OUTSIDE, HERE).candidates == (OUTSIDE, LAN, HERE)


def test_one_over_the_bound_forgets_the_oldest_vote() -> None:
    many = votes(*[("192.0.2.1", number + 1) for number in range(VOTES_MAX + 1)])
    assert len(many) == VOTES_MAX
    assert ("192.0.2.1", 1) not in many.candidates


def test_a_name_for_a_stream_or_a_relay_is_no_vote() -> None:
    assert len(votes(("100::1", 1), ("100::8000:0:0:1", 1))) == 0
