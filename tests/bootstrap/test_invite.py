"""Invite links are exact in both directions, and anything else is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.invite import BOOTSTRAPS_MAX, LINK_CHARACTERS_MAX, PARAMETERS_MAX, Invite, parse_address, qr_code
from bootstrap.invite import format_fingerprint as shown
from p2psip.base.errors import RemoteError

FINGERPRINT = bytes(range(32))
TOKEN = "abcdefghijklmnopqrstuvwxyz"
LINK = f"p2psip://home.example?ca={shown(FINGERPRINT)}&b=192.0.2.1:4500&b=%5B2001:db8::1%5D:4500&t={TOKEN}"
INVITE = Invite("home.example", FINGERPRINT, (("192.0.2.1", 4500), ("2001:db8::1", 4500)), TOKEN)

hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){0,2}", fullmatch=True),
)
invites = st.builds(
    Invite,
    overlay=st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z][a-z0-9]{0,10})?", fullmatch=True),
    fingerprint=st.binary(min_size=32, max_size=32),
    bootstraps=st.lists(st.tuples(hosts, st.integers(1, 65_535)), min_size=1, max_size=BOOTSTRAPS_MAX, unique=True).map(
        tuple
    ),
    token=st.none() | st.from_regex(r"[A-Za-z0-9_-]{16,64}", fullmatch=True),
)


def test_a_link_is_written_exactly() -> None:
    assert str(INVITE) == LINK
    assert Invite.parse(LINK) == INVITE


@given(invites)
def test_every_invite_comes_back(invite: Invite) -> None:
    assert Invite.parse(str(invite)) == invite


@pytest.mark.parametrize(
    "text",
    [
        f"  {LINK}\n",
        LINK.replace("p2psip:", "P2PSIP:").replace("home.example", "Home.Example"),
        LINK.replace("%5B", "[").replace("%5D", "]"),
        LINK.replace(shown(FINGERPRINT), FINGERPRINT.hex()),
        LINK.replace(shown(FINGERPRINT), FINGERPRINT.hex().upper()),
        LINK.replace(shown(FINGERPRINT), shown(FINGERPRINT).upper()),
        LINK.replace("2001:db8::1", "2001:0db8:0:0:0:0:0:1"),
        LINK.replace("?", "/?"),
        LINK + "&later=words&b=192.0.2.1:4500",
    ],
)
def test_other_spellings_of_the_same(text: str) -> None:
    assert Invite.parse(text) == INVITE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with"),
        ("https://home.example", "must begin with"),
        (LINK.replace("home.example", "192.0.2.1"), "needs a name"),
        (LINK.replace("home.example", "a b"), "needs a name"),
        (LINK.replace("home.example", ""), "needs a name"),
        ("p2psip://home.example", "no bootstrap server"),
        ("p2psip://home.example?b=192.0.2.1:4500", "lacks the authority's fingerprint"),
        (LINK.replace("ca=", "ca=a"), "fingerprint"),
        (LINK.replace(f"ca={shown(FINGERPRINT)}", "ca=00"), "fingerprint"),
        (LINK.replace(shown(FINGERPRINT), "0" * 52), "fingerprint"),
        (LINK.replace(shown(FINGERPRINT), "g" * 64), "fingerprint"),
        (LINK + "&ca=00", "twice"),
        (LINK + "&t=" + TOKEN, "twice"),
        (LINK.replace(TOKEN, "short"), "token"),
        (LINK.replace(TOKEN, "a" * 129), "token"),
        (LINK.replace("192.0.2.1:4500", "192.0.2.1"), "host:port"),
        (LINK.replace("192.0.2.1:4500", "192.0.2.1:0"), "host:port"),
        (LINK.replace("192.0.2.1:4500", "192.0.2.1:65536"), "host:port"),
        (LINK.replace("192.0.2.1:4500", "192.0.2.1:٤٥"), "host:port"),
        (LINK.replace("192.0.2.1:4500", "192.0.2.256:4500"), "does not exist"),
        (LINK.replace("2001:db8::1", "fe80::1%25eth0"), "must be a host name"),
        (LINK.replace("2001:db8::1", "2001:db8::1::"), "does not exist"),
        (LINK.replace("%5B2001:db8::1%5D", "2001:db8::1"), "must be a host name"),
        (LINK + "&x=" + "a" * LINK_CHARACTERS_MAX, "longer than"),
        (LINK + "&a" * PARAMETERS_MAX, "parameters"),
        (LINK + "".join(f"&b=192.0.2.{host}:1" for host in range(BOOTSTRAPS_MAX)), "more than 8"),
    ],
)
def test_a_bad_link_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(RemoteError, match=words):
        Invite.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for candidate in (text, f"p2psip://{text}", f"p2psip://home.example?{text}", LINK + text):
        try:
            parsed = Invite.parse(candidate)
        except RemoteError:
            continue
        assert Invite.parse(str(parsed)) == parsed


@given(st.integers(0, len(LINK) - 1), st.characters())
def test_a_changed_character_never_leaks_another_error(place: int, character: str) -> None:
    try:
        parsed = Invite.parse(LINK[:place] + character + LINK[place + 1 :])
    except RemoteError:
        return
    assert Invite.parse(str(parsed)) == parsed


@given(st.text(max_size=60))
def test_any_address_is_parsed_or_refused(text: str) -> None:
    try:
        host, port = parse_address(text)
    except RemoteError:
        return
    assert host
    assert 0 < port < 65_536


def test_the_qr_code_is_made_of_half_blocks() -> None:
    drawn = qr_code(LINK)
    assert len(drawn.splitlines()) > 20
    assert "▀" in drawn or "▄" in drawn
