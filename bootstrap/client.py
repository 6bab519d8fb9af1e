"""What a node asks of a bootstrap server: a first certificate, a newer one, peers to begin with, the configuration.

All addresses of the invite are tried in turn. The authority is held to the invite's fingerprint before anything secret
is sent, and every answer is verified before it is handed on. Errors are RemoteErrors of one sentence: the server's own
refusal with its status, 403 for a wrong authority, 503 when no bootstrap server can be reached.

Answers tell the server's time. Where ours is far from it, the difference is learned first, from a server that is proved
to be the authority's; what is said after that goes by the server's time (SECURITY.md, "A wrong clock").
"""

import datetime
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import trio

from bootstrap.invite import Invite
from bootstrap.messages import (
    ANSWER_BYTES_MAX,
    INTRODUCE,
    NONCE_BYTES,
    RENEW,
    DeviceRequest,
    Enrolment,
    EnrolRequest,
    decode_enrolment,
    encode_device,
    encode_enrol,
    problem_detail,
    signed_bytes,
)
from bootstrap.pinning import check_authority, check_periods
from bootstrap.tls import single_context, timeless_context, untrusting_context
from p2psip.base.certificates import certificate_request, verify_device
from p2psip.base.chance import Chance
from p2psip.base.configuration import verify_configuration
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import CLOCK_ERROR_SECONDS_MAX

CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 20.0
DATE_RESOLUTION_SECONDS = 1.0

T = TypeVar("T")


async def enrol(
    invite: Invite,
    *,
    name: str,
    password: str | None,
    signing: SigningKey,
    node: NodeKey,
    unix: float,
    chance: Chance,
    number: int | None = None,
) -> Enrolment:
    """Enrol this device as `name`, by the invite's token or by `password`; `number` wishes for a numeric alias."""
    wish = EnrolRequest(
        name=name,
        certificate_request=certificate_request(signing, node),
        timestamp=0,
        nonce=b"",
        password=password,
        token=invite.token,
        number=number,
    )

    async def ask(server: "_Server") -> Enrolment:
        right = unix + server.clock_late
        body = encode_enrol(replace(wish, timestamp=int(right), nonce=chance.bytes(NONCE_BYTES)))
        enrolment = _verified(await server.post("/v1/enrol", body), invite, signing, node.node_id, right)
        return replace(enrolment, clock_late=server.clock_late)

    return await _at_any(invite, unix, ask)


async def renew(
    invite: Invite, *, certificate_der: bytes, ca_der: bytes, signing: SigningKey, unix: float, chance: Chance
) -> Enrolment:
    """A newer certificate (the present one while it is young), with the newest configuration and introducers."""
    return await _device_request(invite, RENEW, certificate_der, ca_der, signing, unix, chance)


async def fetch_introducers(
    invite: Invite, *, certificate_der: bytes, ca_der: bytes, signing: SigningKey, unix: float, chance: Chance
) -> Enrolment:
    """Peers to begin with, for a device whose remembered peers are all gone; the certificate stays as it is."""
    return await _device_request(invite, INTRODUCE, certificate_der, ca_der, signing, unix, chance)


async def fetch_clock_late(invite: Invite, *, unix: float) -> float:
    """Seconds by which `unix` is behind the server's time, or 0.0 (`Enrolment.clock_late`); needs no certificate."""

    async def ask(server: "_Server") -> float:
        return server.clock_late

    return await _at_any(invite, unix, ask)


async def fetch_configuration(invite: Invite, *, unix: float) -> bytes:
    """The newest signed configuration, verified."""

    async def ask(server: "_Server") -> bytes:
        data = await server.get("/v1/configuration")
        verify_configuration(data, server.ca_der)
        return data

    return await _at_any(invite, unix, ask)


async def _device_request(
    invite: Invite,
    purpose: str,
    certificate_der: bytes,
    ca_der: bytes,
    signing: SigningKey,
    unix: float,
    chance: Chance,
) -> Enrolment:
    async def ask(server: "_Server") -> Enrolment:
        right = unix + server.clock_late
        node_id = verify_device(certificate_der, ca_der, right).node_id
        nonce = chance.bytes(NONCE_BYTES)
        signature = signing.sign(signed_bytes(purpose, invite.overlay, int(right), nonce))
        body = encode_device(DeviceRequest(purpose, certificate_der, int(right), nonce, signature))
        enrolment = _verified(await server.post(f"/v1/{purpose}", body), invite, signing, node_id, right)
        return replace(enrolment, clock_late=server.clock_late)

    return await _at_any(invite, unix, ask, ca_der)


class _Unreachable(RemoteError):
    """This address gave no usable answer; another may."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back: the body, the server's certificate, and by how many seconds our clock is behind its Date (None: no Date)."""

    data: bytes
    server_der: bytes
    clock_late: float | None


@dataclass(frozen=True, slots=True)
class _Server:
    """One bootstrap server whose authority was held to the fingerprint. `clock_late`: see `Enrolment`."""

    address: Address
    overlay: str
    ca_der: bytes
    context: ssl.SSLContext
    clock: "_Reading"
    clock_late: float

    async def get(self, path: str) -> bytes:
        return (await _exchange(self.address, self.overlay, self.context, self.clock, "GET", path, None)).data

    async def post(self, path: str, body: bytes) -> bytes:
        return (await _exchange(self.address, self.overlay, self.context, self.clock, "POST", path, body)).data


class _Reading:
    """What our clock said, and what it would say now."""

    def __init__(self, unix: float) -> None:
        self._offset = unix - trio.current_time()

    def unix(self) -> float:
        """Seconds since 1970, by the caller's clock."""
        return trio.current_time() + self._offset


async def _at_any(
    invite: Invite, unix: float, ask: Callable[[_Server], Awaitable[T]], ca_der: bytes | None = None
) -> T:
    failures: list[RemoteError] = []
    clock = _Reading(unix)
    for address in invite.bootstraps:
        try:
            server = await _meet(address, invite, clock, ca_der)
        except RemoteError as error:
            failures.append(error)
            continue
        try:
            return await ask(server)
        except _Unreachable as error:
            failures.append(error)
    raise next((error for error in failures if not isinstance(error, _Unreachable)), failures[-1])


async def _meet(address: Address, invite: Invite, clock: _Reading, ca_der: bytes | None) -> _Server:
    """Hold the authority to the fingerprint, and our clock to the server's.

    A server is asked twice: first by a connection of which all is verified but the dates. These are judged by the server's
    time if ours is far from it, and only then something secret is sent, to that very certificate. OpenSSL itself could
    judge by the machine's clock only.
    """
    overlay = invite.overlay
    if ca_der is None:
        first = await _exchange(address, overlay, untrusting_context(), clock, "GET", "/v1/authority", None)
        ca_der = first.data
    check_authority(ca_der, invite)
    proved = await _exchange(address, overlay, timeless_context(ca_der), clock, "GET", "/v1/authority", None)
    late = (
        proved.clock_late if proved.clock_late is not None and abs(proved.clock_late) > CLOCK_ERROR_SECONDS_MAX else 0.0
    )
    check_periods(ca_der, proved.server_der, clock.unix() + late)
    return _Server(address, overlay, ca_der, single_context(proved.server_der), clock, late)


async def _exchange(
    address: Address,
    overlay: str,
    context: ssl.SSLContext,
    clock: _Reading,
    method: str,
    path: str,
    body: bytes | None,
) -> _Answer:
    began = clock.unix()
    timeout = httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    headers = {"host": overlay, "accept-encoding": "identity"}
    url = f"https://{address_text(address)}{path}"
    try:
        async with (
            httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False, follow_redirects=False) as client,
            client.stream(method, url, content=body, headers=headers, extensions={"sni_hostname": overlay}) as response,
        ):
            server_der = _server_certificate(response)
            data = await _read(response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        where = address_text(address)
        words = f"the bootstrap server at {where} cannot be reached ({_reason(error)}): is it running, and is the link of today?"
        raise _Unreachable(words, status=503) from error
    if response.status_code != 200:
        raise _refusal(response.status_code, data, address)
    date, ended = _date(response), clock.unix()
    clock_late = None if date is None else date + (ended - began) / 2 - ended
    return _Answer(data, server_der, clock_late)


def _server_certificate(response: httpx.Response) -> bytes:
    secured = response.extensions["network_stream"].get_extra_info("ssl_object")
    assert isinstance(secured, ssl.SSLObject)
    return secured.getpeercert(binary_form=True) or b""


def _date(response: httpx.Response) -> float | None:
    """The server's time (unix) in the middle of the second that it names; None when it names none (RFC 9110 §6.6.1)."""
    try:
        date = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo is not None else date.replace(tzinfo=datetime.UTC)
    return date.timestamp() + DATE_RESOLUTION_SECONDS / 2


async def _read(response: httpx.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise RemoteError(f"the bootstrap server's answer is over {ANSWER_BYTES_MAX} bytes: is it one?", status=502)
    return bytes(data)


def _refusal(status: int, data: bytes, address: Address) -> RemoteError:
    detail = problem_detail(data) or f"the bootstrap server at {address_text(address)} answered with status {status}"
    return _Unreachable(detail, status=status) if status >= 500 else RemoteError(detail, status=status)


def _reason(error: BaseException) -> str:
    """The first words in the chain of causes: a TLS failure says why only far down."""
    cause: BaseException | None = error
    while cause is not None:
        if str(cause):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _verified(data: bytes, invite: Invite, signing: SigningKey, node_id: bytes, unix: float) -> Enrolment:
    enrolment = decode_enrolment(data)
    check_authority(enrolment.ca_der, invite)
    certificate = verify_device(enrolment.certificate_der, enrolment.ca_der, unix)
    if certificate.signing_key != signing.public or certificate.node_id != node_id:
        raise RemoteError("the bootstrap server sent a certificate for another device: tell its operator", status=502)
    verify_configuration(enrolment.configuration, enrolment.ca_der)
    return enrolment
