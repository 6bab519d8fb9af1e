"""What devices and the bootstrap server say to each other: JSON objects, bytes in base64, every length bounded.

The encodings of both directions live here so that `client` and `web` cannot drift apart. Nothing here speaks HTTP.
"""

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from p2psip.base.certificates import CERTIFICATE_BYTES_MAX
from p2psip.base.codec import MESSAGE_BYTES_MAX, pack
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES, SIGNATURE_BYTES

NONCE_BYTES = 16
TEXT_CHARACTERS_MAX = 256
INTRODUCERS_MAX = 8
ADDRESSES_MAX = 8
REQUEST_BYTES_MAX = 16_384
ANSWER_BYTES_MAX = 262_144
RENEW = "renew"
INTRODUCE = "introduce"


@dataclass(frozen=True, slots=True)
class Introducer:
    """A peer to begin with: its node key (32 bytes) and where it was last reached."""

    node_key: bytes
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a device is given: its certificate, the authority's, the signed configuration, peers to begin with.

    `clock_late`: seconds by which the device's clock is behind the server's, if more than CLOCK_ERROR_SECONDS_MAX either way,
    else 0. It is in no message: `bootstrap.client` reckons it.
    """

    certificate_der: bytes
    ca_der: bytes
    configuration: bytes
    introducers: tuple[Introducer, ...] = ()
    clock_late: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A device asks for a certificate. `timestamp` (unix seconds) and `nonce` make each request count once."""

    name: str
    certificate_request: bytes
    timestamp: int
    nonce: bytes
    password: str | None = None
    token: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """An enrolled device asks; its signature covers `signed_bytes`. `purpose` is RENEW or INTRODUCE."""

    purpose: str
    certificate_der: bytes
    timestamp: int
    nonce: bytes
    signature: bytes


def signed_bytes(purpose: str, overlay: str, timestamp: int, nonce: bytes) -> bytes:
    """What a device signs to show that it still holds its key."""
    return pack(["p2psip device request v1", purpose, overlay, timestamp, nonce])


def encode_enrol(request: EnrolRequest) -> bytes:
    """The body of an enrolment."""
    return _dump(
        {
            "name": request.name,
            "certificate_request": _base64(request.certificate_request),
            "timestamp": request.timestamp,
            "nonce": _base64(request.nonce),
            "password": request.password,
            "token": request.token,
            "number": request.number,
        }
    )


def decode_enrol(data: bytes) -> EnrolRequest:
    """The enrolment in `data`; RemoteError(400) if malformed."""
    fields = _load(data, REQUEST_BYTES_MAX)
    return EnrolRequest(
        name=_text(fields, "name"),
        certificate_request=_bytes(fields, "certificate_request", 1, CERTIFICATE_BYTES_MAX),
        timestamp=_whole(fields, "timestamp"),
        nonce=_bytes(fields, "nonce", NONCE_BYTES, NONCE_BYTES),
        password=_optional_text(fields, "password"),
        token=_optional_text(fields, "token"),
        number=None if fields.get("number") is None else _whole(fields, "number"),
    )


def encode_device(request: DeviceRequest) -> bytes:
    """The body of a request by an enrolled device."""
    return _dump(
        {
            "certificate": _base64(request.certificate_der),
            "timestamp": request.timestamp,
            "nonce": _base64(request.nonce),
            "signature": _base64(request.signature),
        }
    )


def decode_device(data: bytes, purpose: str) -> DeviceRequest:
    """The request of an enrolled device in `data`; RemoteError(400) if malformed."""
    fields = _load(data, REQUEST_BYTES_MAX)
    return DeviceRequest(
        purpose=purpose,
        certificate_der=_bytes(fields, "certificate", 1, CERTIFICATE_BYTES_MAX),
        timestamp=_whole(fields, "timestamp"),
        nonce=_bytes(fields, "nonce", NONCE_BYTES, NONCE_BYTES),
        signature=_bytes(fields, "signature", SIGNATURE_BYTES, SIGNATURE_BYTES),
    )


def encode_enrolment(enrolment: Enrolment) -> bytes:
    """The answer to an enrolment, a renewal, or a wish for introducers."""
    return _dump(
        {
            "certificate": _base64(enrolment.certificate_der),
            "authority": _base64(enrolment.ca_der),
            "configuration": _base64(enrolment.configuration),
            "introducers": [
                {"node_key": _base64(each.node_key), "addresses": [list(address) for address in each.addresses]}
                for each in enrolment.introducers
            ],
        }
    )


def decode_enrolment(data: bytes) -> Enrolment:
    """The answer in `data`; RemoteError if malformed."""
    fields = _load(data, ANSWER_BYTES_MAX)
    introducers = _list(fields, "introducers", INTRODUCERS_MAX)
    return Enrolment(
        certificate_der=_bytes(fields, "certificate", 1, CERTIFICATE_BYTES_MAX),
        ca_der=_bytes(fields, "authority", 1, CERTIFICATE_BYTES_MAX),
        configuration=_bytes(fields, "configuration", SIGNATURE_BYTES, MESSAGE_BYTES_MAX + SIGNATURE_BYTES),
        introducers=tuple(_introducer(each) for each in introducers),
    )


def bounded(introducers: Sequence[Introducer]) -> tuple[Introducer, ...]:
    """The first INTRODUCERS_MAX of them, with at most ADDRESSES_MAX addresses each."""
    return tuple(Introducer(each.node_key, each.addresses[:ADDRESSES_MAX]) for each in introducers[:INTRODUCERS_MAX])


def problem_detail(data: bytes) -> str | None:
    """The sentence in a problem document (RFC 9457 §3.1.4), or None if there is none to be read."""
    try:
        return _text(_load(data, ANSWER_BYTES_MAX), "detail")
    except RemoteError:
        return None


def encode_problem(status: int, title: str, detail: str) -> bytes:
    """A problem document (RFC 9457) whose `detail` is one sentence that says what to do."""
    return _dump({"type": "about:blank", "title": title, "status": status, "detail": detail[:TEXT_CHARACTERS_MAX]})


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _load(data: bytes, bytes_max: int) -> dict[str, Any]:
    if len(data) > bytes_max:
        raise RemoteError(f"a message of more than {bytes_max} bytes: send a smaller one", status=413)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RemoteError("a message that is not JSON: is this client of the same version as the server?") from error
    if not isinstance(value, dict):
        raise RemoteError("a message that is not a JSON object")
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > TEXT_CHARACTERS_MAX:
        raise RemoteError(f"the field {name!r} must be text of 1 to {TEXT_CHARACTERS_MAX} characters")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RemoteError(f"the field {name!r} holds half a character")
    return value


def _optional_text(fields: dict[str, Any], name: str) -> str | None:
    return None if fields.get(name) is None else _text(fields, name)


def _whole(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise RemoteError(f"the field {name!r} must be a whole number")
    return value


def _bytes(fields: dict[str, Any], name: str, least: int, most: int) -> bytes:
    value = fields.get(name)
    try:
        data = base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except ValueError as error:
        raise RemoteError(f"the field {name!r} must be bytes in base64") from error
    if not least <= len(data) <= most:
        raise RemoteError(f"the field {name!r} has {len(data)} bytes, which is not in {least} to {most}")
    return data


def _list(fields: dict[str, Any], name: str, most: int) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise RemoteError(f"the field {name!r} must be a list of at most {most} entries")
    return value


def _introducer(value: Any) -> Introducer:
    if not isinstance(value, dict):
        raise RemoteError("an introducer that is not an object")
    addresses = _list(value, "addresses", ADDRESSES_MAX)
    return Introducer(
        _bytes(value, "node_key", KEY_BYTES, KEY_BYTES), tuple(_address(address) for address in addresses)
    )


def _address(value: Any) -> Address:
    match value:
        case [str() as host, int() as port] if type(port) is int and 0 < port < 65_536:
            pass
        case _:
            raise RemoteError("an introducer with a malformed address")
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError as error:
        raise RemoteError("an introducer with a malformed address") from error
