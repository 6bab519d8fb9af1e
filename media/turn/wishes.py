"""What an Allocate request asks for, checked in the order of RFC 8656 §7.2."""

from dataclasses import dataclass

from media.turn import messages
from media.turn.messages import Message
from media.turn.refusal import Refusal

UDP_PROTOCOL = 17
TOKEN_BYTES = 8
_FAMILIES = {1: 4, 2: 6}


@dataclass(frozen=True, slots=True)
class Wish:
    """A checked Allocate request. `families` are wanted all; with `is_dual` one of them may be missing in the answer."""

    families: tuple[int, ...]
    is_dual: bool = False
    even: bool = False
    reserves_next: bool = False
    token: bytes | None = None
    lifetime: int | None = None


def read_wish(message: Message, supported: tuple[int, ...]) -> Wish:
    """The wish in an Allocate request; RemoteError or Refusal with the status to answer with."""
    _check_transport(message)
    lifetime = message.number(messages.LIFETIME, 4)
    even = message.number(messages.EVEN_PORT, 1)
    requested, additional = read_family(message), message.number(messages.ADDITIONAL_ADDRESS_FAMILY, 4)
    token = message.attributes.get(messages.RESERVATION_TOKEN)
    if token is not None:
        if len(token) != TOKEN_BYTES or even is not None or requested is not None or additional is not None:
            raise Refusal(400, "a reservation token beside a choice of port or family")
        return Wish((), token=token, lifetime=lifetime)
    if requested is not None and additional is not None:
        raise Refusal(400, "a requested and an additional address family at once")
    if additional is None and (requested or 4) not in supported:
        raise Refusal(440, "an address family that this server has not")
    reserves_next = even is not None and even & 0x80 != 0
    if additional is None:
        return Wish((requested or 4,), False, even is not None, reserves_next, None, lifetime)
    if reserves_next or additional >> 24 != 2:
        raise Refusal(400, "an additional address family that is not IPv6, or with a reserved port")
    return Wish((4, 6), True, even is not None, False, None, lifetime)


def read_family(message: Message) -> int | None:
    """REQUESTED-ADDRESS-FAMILY: 4 or 6, None without it; Refusal(440) for another (RFC 8656 §18.6)."""
    value = message.number(messages.REQUESTED_ADDRESS_FAMILY, 4)
    if value is None:
        return None
    if value >> 24 not in _FAMILIES:
        raise Refusal(440, "an address family that nobody knows")
    return _FAMILIES[value >> 24]


def _check_transport(message: Message) -> None:
    transport = message.number(messages.REQUESTED_TRANSPORT, 4)
    if transport is None:
        raise Refusal(400, "an Allocate request without REQUESTED-TRANSPORT")
    if transport >> 24 != UDP_PROTOCOL:
        raise Refusal(442, "a relayed transport that is not UDP")
