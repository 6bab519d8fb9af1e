"""Grants: the scheme of coturn's `use-auth-secret`, a round trip over the wire, and nothing but RemoteError for garbage."""

import base64
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.codec import pack, unpack
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.grants import (
    SERVERS_MAX,
    TurnServer,
    make_grant,
    pack_grant,
    turn_password,
    unpack_grant,
    username_expiry,
    username_owner,
)

SERVERS = (TurnServer("udp", ("192.0.2.1", 3478)), TurnServer("tls", ("2001:db8::1", 443)))
GRANT = make_grant(b"secret", "ab" * 20, "example.org", 1_000_000.7, 600, SERVERS)


def test_the_user_name_says_until_when_and_for_whom() -> None:
    assert GRANT.username == "1000600:" + "ab" * 20
    assert GRANT.expires == username_expiry(GRANT.username) == 1_000_600
    assert username_owner(GRANT.username) == "ab" * 20
    assert GRANT.password == turn_password(b"secret", GRANT.username)


def test_the_password_is_the_one_that_openssl_computes() -> None:
    command = ["openssl", "dgst", "-sha1", "-hmac", "secret", "-binary"]
    done = subprocess.run(command, input=GRANT.username.encode(), capture_output=True, check=True)
    assert GRANT.password == base64.b64encode(done.stdout).decode()


def test_a_grant_survives_the_wire() -> None:
    assert unpack_grant(unpack(pack(pack_grant(GRANT)))) == GRANT


def test_one_server_more_than_a_grant_may_name() -> None:
    with pytest.raises(LocalError):
        make_grant(b"s", "ab", "r", 0.0, 60, SERVERS[:1] * (SERVERS_MAX + 1))
    packed = pack_grant(GRANT)
    packed[4] = packed[4][:1] * (SERVERS_MAX + 1)
    with pytest.raises(RemoteError):
        unpack_grant(packed)


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("wrong", [None, "", "x" * 200, -1, 10**12, [[0, "h", 0]], [[3, "h", 1]], [["udp", "h", 1]]])
def test_a_grant_with_one_wrong_value_is_refused(position: int, wrong: Any) -> None:
    packed = pack_grant(GRANT)
    packed[position] = wrong
    if position == 2 and wrong == "":
        assert unpack_grant(packed).realm == ""
        return
    with pytest.raises(RemoteError):
        unpack_grant(packed)


@pytest.mark.parametrize("username", ["", "x", ":ab", "12x:ab", "-5:ab", "1" * 13 + ":ab", "²:ab"])
def test_a_user_name_without_a_time_is_refused(username: str) -> None:
    with pytest.raises(RemoteError) as caught:
        username_expiry(username)
    assert caught.value.status == 401


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(), lambda inner: st.lists(inner, max_size=6)
)


@given(values)
def test_nothing_but_a_remote_error_comes_out_of_garbage(value: Any) -> None:
    with pytest.raises(RemoteError):
        unpack_grant(value)


@pytest.mark.parametrize("host", ["turn.example.org", "fe80::1%eth0", "100::8000:0:0:1", "224.0.0.1", "0.0.0.0", "::"])
def test_a_server_is_an_address_of_one_host_and_never_a_name(host: str) -> None:
    packed = pack_grant(GRANT)
    packed[4] = [[0, host, 3478]]
    with pytest.raises(RemoteError):
        unpack_grant(packed)
