"""The door to aioice's STUN codec (RFC 8489): bytes give a message or a RemoteError, nothing else."""

import struct

from aioice import stun

from p2psip.base.errors import RemoteError

Message = stun.Message
Class = stun.Class
Method = stun.Method

STUN_BYTES_MAX = 1_500
HEADER_BYTES = 20
_COOKIE = stun.COOKIE.to_bytes(4, "big")


def is_stun(data: bytes) -> bool:
    """A cheap first look: length, leading bits, magic cookie."""
    return HEADER_BYTES <= len(data) <= STUN_BYTES_MAX and data[0] < 4 and data[4:8] == _COOKIE


def parse(data: bytes) -> stun.Message:
    """The message in `data`, its FINGERPRINT checked when there is one; RemoteError otherwise."""
    if not is_stun(data):
        raise RemoteError("a datagram that is no STUN message")
    try:
        return stun.parse_message(data)
    except (ValueError, struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
        raise RemoteError("a STUN message that cannot be read") from error


def transaction_id(data: bytes) -> bytes:
    """The 12-byte transaction id of a datagram that `is_stun`."""
    return data[8:20]


def is_request(data: bytes) -> bool:
    """Whether a datagram that `is_stun` is a request (class bits 00)."""
    return data[0] & 1 == 0 and data[1] & 0x10 == 0


def is_indication(data: bytes) -> bool:
    """Whether a datagram that `is_stun` is an indication (class bits 01)."""
    return data[0] & 1 == 0 and data[1] & 0x10 != 0


def is_response(data: bytes) -> bool:
    """Whether a datagram that `is_stun` answers a request: success or error (class bits 10 and 11)."""
    return data[0] & 1 == 1


def binding_request(transaction: bytes, username: str, password: str, attributes: dict[str, object]) -> bytes:
    """A Binding request with short-term credentials and FINGERPRINT, ready to send."""
    message = stun.Message(Method.BINDING, Class.REQUEST, transaction, {"USERNAME": username, **attributes})
    message.add_message_integrity(password.encode())
    return bytes(message)


def binding_success(request: stun.Message, mapped: tuple[str, int], password: str) -> bytes:
    """The success response to `request`, telling where it came from."""
    message = stun.Message(Method.BINDING, Class.RESPONSE, request.transaction_id, {"XOR-MAPPED-ADDRESS": mapped})
    message.add_message_integrity(password.encode())
    return bytes(message)


def binding_error(request: stun.Message, code: int, reason: str, password: str | None) -> bytes:
    """An error response to `request`."""
    message = stun.Message(Method.BINDING, Class.ERROR, request.transaction_id, {"ERROR-CODE": (code, reason)})
    if password is not None:
        message.add_message_integrity(password.encode())
    else:
        message.add_fingerprint()
    return bytes(message)


def dtls_indication(transaction: bytes, username: str, password: str, data: bytes) -> bytes:
    """A DTLS datagram as DATA of a Binding indication, so that many calls between two ports are told apart."""
    message = stun.Message(Method.BINDING, Class.INDICATION, transaction, {"USERNAME": username, "DATA": data})
    message.add_message_integrity(password.encode())
    return bytes(message)


def verify(message: stun.Message, password: str) -> None:
    """Return if MESSAGE-INTEGRITY holds for `password`; RemoteError(401) otherwise."""
    if not message.check_message_integrity(password.encode()):
        raise RemoteError("a STUN message whose integrity does not hold", status=401)
