"""The one door to msgpack, with limits on size, depth and types. Everything that the overlay says is packed here."""

from typing import Any

import msgpack

from p2psip.base.errors import LocalError, RemoteError

MESSAGE_BYTES_MAX = 65_536
CONTAINER_ITEMS_MAX = 4_096
DEPTH_MAX = 16

_packer = msgpack.Packer(use_bin_type=True, autoreset=True)


def pack(value: Any) -> bytes:
    """`value` (None, bool, int, float, bytes, str, list, tuple, dict) as msgpack; LocalError if it cannot be packed."""
    try:
        packed: bytes = _packer.pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        _packer.reset()
        raise LocalError(f"this value cannot be packed: {error}") from error
    return packed


def unpack(data: bytes) -> Any:
    """The value in `data`; RemoteError if it is malformed, too large, too deep, or followed by more bytes."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise RemoteError(f"a message of {len(data)} bytes is over the limit of {MESSAGE_BYTES_MAX}", status=413)
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            max_array_len=CONTAINER_ITEMS_MAX,
            max_map_len=CONTAINER_ITEMS_MAX,
            max_str_len=MESSAGE_BYTES_MAX,
            max_bin_len=MESSAGE_BYTES_MAX,
            max_ext_len=0,
            ext_hook=_refuse_extension,
            object_hook=_check_keys,
        )
    except (ValueError, TypeError, RecursionError, UnicodeDecodeError, msgpack.exceptions.UnpackException) as error:
        raise RemoteError("a message that is not well-formed msgpack") from error
    if type(value) is list or type(value) is dict:
        _check_depth(value, DEPTH_MAX)
    return value


def _check_depth(value: Any, levels: int) -> None:
    if not levels:
        raise RemoteError(f"a message nested deeper than {DEPTH_MAX}")
    for item in value if type(value) is list else value.values():
        if type(item) is list or type(item) is dict:
            _check_depth(item, levels - 1)


def _check_keys(value: dict[Any, Any]) -> dict[Any, Any]:
    for key in value:
        if type(key) is not str and type(key) is not int:
            raise RemoteError("a message with a key that is neither text nor a number")
    return value


def _refuse_extension(_code: int, _data: bytes) -> Any:
    raise RemoteError("a message with an unknown type")
