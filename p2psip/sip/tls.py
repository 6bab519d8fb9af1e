"""TLS under SIP (RFC 3261 §26.3.1, RFC 5922): what we trust when we dial, what we show when we listen, and words for what fails."""

import ssl
from pathlib import Path

import trio

from p2psip.base.errors import RemoteError
from p2psip.sip.certificate_names import check_name

TLS_FIRST_BYTE = b"\x16"


def trusting_context(
    authorities: Path | None = None, *, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For dialling: trusts the authorities of this PEM file, or those of the machine; shows a certificate of ours if one is given.

    OSError (ssl.SSLError) when a file is not what it should be. Names are checked by `secure`, for OpenSSL knows no SIP URIs.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(authorities)
    if certificate is not None:
        context.load_cert_chain(certificate, key, password=lambda: "none")  # else OpenSSL asks at the terminal
    return context


async def secure(stream: trio.SocketStream, context: ssl.SSLContext, host: str) -> trio.SSLStream[trio.SocketStream]:
    """`stream` as the client of a TLS server that proves to be `host`; RemoteError(503) says what was wrong."""
    secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secured.do_handshake()
        certificate = secured.getpeercert(binary_form=True)
    except trio.BrokenResourceError as error:
        raise RemoteError(in_words(error), status=503) from error
    if context.verify_mode is ssl.CERT_REQUIRED:
        check_name(certificate or b"", host)
    return secured


async def accept(stream: trio.SocketStream, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    """`stream` as a TLS server; RemoteError says what was wrong with the other side."""
    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        await secured.do_handshake()
    except trio.BrokenResourceError as error:
        raise RemoteError(in_words(error)) from error
    return secured


def in_words(error: trio.BrokenResourceError) -> str:
    """Why a TLS connection failed, in as few words as OpenSSL has."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate cannot be trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return f"TLS failed: {cause.reason.lower().replace('_', ' ')}"
    return "TLS failed: the connection was closed"
