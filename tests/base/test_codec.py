"""The msgpack door: limits hold, and nothing but a value or an error of ours comes out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.codec import DEPTH_MAX, MESSAGE_BYTES_MAX, pack, unpack
from p2psip.base.errors import LocalError, RemoteError

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.binary() | st.text()
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 99), inner))


@given(values)
def test_round_trip(value: Any) -> None:
    assert unpack(pack(value)) == value


@given(st.binary())
def test_arbitrary_bytes_give_a_value_or_a_remote_error(data: bytes) -> None:
    try:
        unpack(data)
    except RemoteError:
        return


def test_depth_is_bounded() -> None:
    value: Any = 1
    for _ in range(DEPTH_MAX):
        value = [value]
    assert unpack(pack(value)) == value
    with pytest.raises(RemoteError, match="deeper"):
        unpack(pack([value]))
    with pytest.raises(RemoteError, match="deeper"):
        unpack(pack({"deep": value}))


def test_size_is_bounded() -> None:
    assert unpack(pack(b"x" * (MESSAGE_BYTES_MAX - 5)))
    with pytest.raises(RemoteError) as caught:
        unpack(pack(b"x" * MESSAGE_BYTES_MAX))
    assert caught.value.status == 413


@pytest.mark.parametrize("data", [b"", b"\xc1", pack(1) + b"x", b"\xd4\x01x", b"\x81\xc0\x01", b"\xdd\xff\xff\xff\xff"])
def test_what_is_not_one_plain_value_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        unpack(data)


def test_what_cannot_be_packed_is_our_own_mistake() -> None:
    with pytest.raises(LocalError):
        pack(object())
    assert unpack(pack([1])) == [1]
