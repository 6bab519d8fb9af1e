"""TLS contexts of both sides (RFC 8446): the server's, with a certificate of the overlay's authority; the pinned client's."""

import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bootstrap.authority import Authority
from p2psip.base.chance import Chance
from p2psip.base.keys import SigningKey


def server_context() -> ssl.SSLContext:
    """TLS 1.3 only: every client is a p2psip of today."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    return context


def load_server_certificate(context: ssl.SSLContext, authority: Authority, *, unix: float, chance: Chance) -> None:
    """Give `context` a fresh key and certificate; connections that exist keep theirs."""
    key = SigningKey.generate(chance)
    chain = ssl.DER_cert_to_PEM_cert(authority.issue_server(key, unix=unix))
    chain += ssl.DER_cert_to_PEM_cert(authority.ca_der)
    private = key.cryptography_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory(prefix="p2psip-") as folder:  # mode 0700; OpenSSL takes keys from files only
        path = Path(folder) / "server.pem"
        path.write_bytes(private + chain.encode())
        context.load_cert_chain(path)


_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL (X509_VERIFY_PARAM_set_flags(3)), which `ssl` has no name for."""


def pinned_context(ca_der: bytes) -> ssl.SSLContext:
    """Trusts this one authority and checks the name; nothing of the machine's own store."""
    context = _client_context()
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=ca_der)
    return context


def timeless_context(ca_der: bytes) -> ssl.SSLContext:
    """As `pinned_context`, but validity periods are left to `bootstrap.pinning.check_periods`: this machine's clock is in doubt."""
    context = pinned_context(ca_der)
    context.verify_flags |= _NO_CHECK_TIME
    return context


def single_context(server_der: bytes) -> ssl.SSLContext:
    """Trusts one certificate of a server, whose chain and period were judged before."""
    context = timeless_context(server_der)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def untrusting_context() -> ssl.SSLContext:
    """Encrypts and checks nothing: only for fetching the authority's certificate, which is then held to its fingerprint."""
    context = _client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
