"""What a node asks of a bootstrap server: a first certificate, a newer one, peers to begin with, the configuration.

All addresses of the invite are tried in turn. The authority is held to the invite's fingerprint before anything secret
is sent, and every answer is verified before it is handed on. Errors are RemoteErrors of one sentence: the server's own
refusal with its status, 403 for a wrong authority, 503 when no bootstrap server can be reached.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import httpx

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
from bootstrap.pinning import check_authority
from bootstrap.tls import pinned_context, untrusting_context
from p2psip.base.certificates import certificate_request, verify_device
from p2psip.base.chance import Chance
from p2psip.base.configuration import verify_configuration
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey

CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 20.0

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
        timestamp=int(unix),
        nonce=b"",
        password=password,
        token=invite.token,
        number=number,
    )

    async def ask(server: "_Server") -> Enrolment:
        body = encode_enrol(replace(wish, nonce=chance.bytes(NONCE_BYTES)))
        return _verified(await server.post("/v1/enrol", body), invite, signing, node.node_id, unix)

    return await _at_any(invite, ask)


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


async def fetch_configuration(invite: Invite) -> bytes:
    """The newest signed configuration, verified."""

    async def ask(server: "_Server") -> bytes:
        data = await server.get("/v1/configuration")
        verify_configuration(data, server.ca_der)
        return data

    return await _at_any(invite, ask)


async def _device_request(
    invite: Invite,
    purpose: str,
    certificate_der: bytes,
    ca_der: bytes,
    signing: SigningKey,
    unix: float,
    chance: Chance,
) -> Enrolment:
    node_id = verify_device(certificate_der, ca_der, unix).node_id

    async def ask(server: "_Server") -> Enrolment:
        nonce = chance.bytes(NONCE_BYTES)
        signature = signing.sign(signed_bytes(purpose, invite.overlay, int(unix), nonce))
        body = encode_device(DeviceRequest(purpose, certificate_der, int(unix), nonce, signature))
        return _verified(await server.post(f"/v1/{purpose}", body), invite, signing, node_id, unix)

    return await _at_any(invite, ask)


class _Unreachable(RemoteError):
    """This address gave no usable answer; another may."""


class _Server:
    """One bootstrap server whose authority was held to the fingerprint."""

    def __init__(self, address: Address, invite: Invite, ca_der: bytes) -> None:
        self.ca_der = ca_der
        self._address = address
        self._overlay = invite.overlay
        self._context = pinned_context(ca_der)

    async def get(self, path: str) -> bytes:
        return await _exchange(self._address, self._overlay, self._context, "GET", path, None)

    async def post(self, path: str, body: bytes) -> bytes:
        return await _exchange(self._address, self._overlay, self._context, "POST", path, body)


async def _at_any(invite: Invite, ask: Callable[[_Server], Awaitable[T]]) -> T:
    failures: list[RemoteError] = []
    for address in invite.bootstraps:
        try:
            ca_der = await _exchange(address, invite.overlay, untrusting_context(), "GET", "/v1/authority", None)
            check_authority(ca_der, invite)
        except RemoteError as error:
            failures.append(error)
            continue
        try:
            return await ask(_Server(address, invite, ca_der))
        except _Unreachable as error:
            failures.append(error)
    raise next((error for error in failures if not isinstance(error, _Unreachable)), failures[-1])


async def _exchange(
    address: Address, overlay: str, context: ssl.SSLContext, method: str, path: str, body: bytes | None
) -> bytes:
    timeout = httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    headers = {"host": overlay, "accept-encoding": "identity"}
    url = f"https://{address_text(address)}{path}"
    try:
        async with (
            httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False, follow_redirects=False) as client,
            client.stream(method, url, content=body, headers=headers, extensions={"sni_hostname": overlay}) as response,
        ):
            data = await _read(response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        where = address_text(address)
        words = f"the bootstrap server at {where} cannot be reached ({_reason(error)}): is it running, and is the link of today?"
        raise _Unreachable(words, status=503) from error
    if response.status_code != 200:
        raise _refusal(response.status_code, data, address)
    return data


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
