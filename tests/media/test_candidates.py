"""Candidate lines (RFC 8839 §5.1), priorities of candidates and pairs (RFC 8445 §5.1.2, §6.1.2.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.ice.candidates import (
    CANDIDATE_CHARACTERS_MAX,
    HOSTS_MAX,
    LINES_MAX,
    Candidate,
    Pair,
    hosts_of,
    local_candidate,
    parse_candidate,
    peer_reflexive,
)
from p2psip.base.errors import RemoteError

HOST = "1 1 UDP 2130706431 203.0.113.141 8998 typ host"
REFLEXIVE = "2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998"
NUMBERS = st.integers(1, 65_535)


@pytest.mark.parametrize(
    ("line", "kind", "address", "related"),
    [
        (HOST, "host", ("203.0.113.141", 8998), (None, None)),
        (REFLEXIVE, "srflx", ("192.0.2.3", 45664), ("203.0.113.141", 8998)),
        (
            "842163049 1 udp 1677729535 2001:db8::7 40000 typ relay raddr :: rport 0 generation 0 ufrag abcd network-id 1",
            "relay",
            ("2001:db8::7", 40000),
            ("::", 0),
        ),
    ],
)
def test_the_lines_of_the_rfc_and_of_a_browser(
    line: str, kind: str, address: tuple[str, int], related: tuple[str | None, int | None]
) -> None:
    candidate = parse_candidate(line)
    assert (candidate.type, (candidate.host, candidate.port)) == (kind, address)
    assert (candidate.related_address, candidate.related_port) == related


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate",
        HOST.replace("UDP", "TCP") + " tcptype active",
        HOST.replace("203.0.113.141", "6b1f.local"),
        HOST.replace("203.0.113.141", "203.0.113.1410"),
        HOST.replace(" 1 UDP", " 2 UDP"),
        HOST.replace("8998", "0"),
        HOST.replace("8998", "65536"),
        HOST.replace("8998", "-1"),
        HOST.replace("2130706431", "0"),
        HOST.replace("2130706431", str(2**31)),
        HOST.replace("typ host", "typ magic"),
        HOST.replace("typ host", "pyt host"),
        REFLEXIVE.replace("rport 8998", "rport x"),
        HOST.replace("203.0.113.141", "0.0.0.0"),
        HOST.replace("203.0.113.141", "224.0.0.5"),
        HOST.replace("203.0.113.141", "255.255.255.255"),
        HOST.replace("203.0.113.141", "::"),
        HOST.replace("203.0.113.141", "ff02::1"),
        HOST.replace("203.0.113.141", "fe80::1%2"),
    ],
)
def test_what_cannot_be_used_is_refused(line: str) -> None:
    with pytest.raises(RemoteError):
        parse_candidate(line)


def test_an_address_is_spelt_as_a_socket_spells_it() -> None:
    candidate = parse_candidate(HOST.replace("203.0.113.141", "2001:DB8:0:0::7"))
    assert candidate.host == "2001:db8::7"
    assert candidate.can_pair_with(local_candidate("host", ("::1", 1), ("::1", 1)))


def test_a_line_one_character_over_the_bound_is_refused() -> None:
    longest = f"{HOST} generation 0 x ".ljust(CANDIDATE_CHARACTERS_MAX, "y")
    assert parse_candidate(longest).port == 8998
    with pytest.raises(RemoteError):
        parse_candidate(longest + "y")


def test_the_recommended_priorities() -> None:
    # RFC 8445 §5.1.2.1: 2^24 type preference + 2^8 local preference + (256 - component)
    address = ("192.0.2.1", 4000)
    assert local_candidate("host", address, address).priority == (126 << 24) + (65_535 << 8) + 255
    assert local_candidate("prflx", address, address).priority == (110 << 24) + (65_535 << 8) + 255
    assert local_candidate("srflx", address, address, 7).priority == (100 << 24) + (7 << 8) + 255
    assert local_candidate("relay", address, address, 0).priority == 255


def test_foundations_are_equal_for_one_kind_and_base_only() -> None:
    base, other = ("10.0.0.1", 4000), ("10.0.0.2", 4000)
    one = local_candidate("srflx", ("192.0.2.1", 1), base).foundation
    assert local_candidate("srflx", ("192.0.2.9", 2), base).foundation == one
    assert local_candidate("srflx", ("192.0.2.1", 1), other).foundation != one
    assert local_candidate("host", base, base).foundation != one
    assert 1 <= len(one) <= 32  # RFC 8839 §5.1: 1*32ice-char


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_both_agents_give_a_pair_the_same_priority(ours: int, theirs: int) -> None:
    here, there = peer_reflexive(("10.0.0.1", 1), ours, 0), peer_reflexive(("10.0.0.2", 1), theirs, 1)
    priority = Pair(here, there).priority(True)
    assert priority == Pair(there, here).priority(False)
    assert priority == 2**32 * min(ours, theirs) + 2 * max(ours, theirs) + (1 if ours > theirs else 0)


def test_packets_leave_from_the_base() -> None:
    base = ("10.0.0.1", 4000)
    remote = peer_reflexive(("192.0.2.9", 5000), 1, 0)
    assert Pair(local_candidate("srflx", ("192.0.2.1", 1), base), remote).base == base
    pair = Pair(local_candidate("host", base, base), remote)
    assert (pair.base, pair.destination) == (base, ("192.0.2.9", 5000))


@given(
    st.sampled_from(["host", "srflx", "relay"]),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    NUMBERS,
    NUMBERS,
    st.integers(0, 65_535),
)
def test_our_lines_are_read_back_as_they_were(kind: str, host: str, port: int, base: int, preference: int) -> None:
    candidate = local_candidate(kind, (host, port), (host, base), preference)
    _same_or_refused(candidate.to_sdp(), candidate)


@given(st.text(max_size=120))
def test_any_text_is_a_candidate_or_a_remote_error(line: str) -> None:
    _same_or_refused(line)


@given(
    st.sampled_from([HOST, REFLEXIVE]),
    st.integers(0, 13),
    st.one_of(
        st.text(max_size=12), st.integers().map(str), st.sampled_from(["٣", "1e3", "1_0", "nan", "::1", "127.1"])
    ),
)
def test_a_line_with_one_word_changed_is_a_candidate_or_a_remote_error(line: str, place: int, word: str) -> None:
    words = line.split()
    words[place % len(words)] = word
    _same_or_refused(" ".join(words))


def _same_or_refused(line: str, meant: Candidate | None = None) -> None:
    try:
        candidate = parse_candidate(line)
    except RemoteError:
        return
    assert 0 < candidate.port < 65_536
    again = parse_candidate(candidate.to_sdp())
    assert again.to_sdp() == candidate.to_sdp() == (meant or candidate).to_sdp()


def test_a_peer_names_so_many_hosts_for_our_relays_and_no_more() -> None:
    own = [f"{n} 1 udp {2**30} 10.0.0.{n} 4000 typ host" for n in range(1, HOSTS_MAX + 2)]
    lines = [*own, "r 1 udp 1000 192.0.2.7 5000 typ relay", "r 1 udp 1000 192.0.2.7 5001 typ relay", "rubbish"]
    found = hosts_of(lines)
    assert found[:2] == ["192.0.2.7", "10.0.0.1"]
    assert len(found) == HOSTS_MAX
    assert hosts_of(["rubbish"] * LINES_MAX + own[:1]) == []
