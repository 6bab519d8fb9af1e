"""TLS around streams (RFC 8446): here only to get through firewalls that let nothing else pass.

Who the other side is, sealed frames and TURN credentials tell; so by default a listener signs its own certificate and a
dialler verifies none. An operator may give certificate files, for browsers (`turns:`) verify them.
"""

import ssl
import tempfile
from pathlib import Path

from p2psip.base.self_signed import as_pem, self_signed

LIFETIME_DAYS = 825
SELF_SIGNED_NAME = "localhost"


def dialling_context() -> ssl.SSLContext:
    """Encrypts and verifies nothing; announces no application protocol."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def listening_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """With the chain and key of these PEM files; OSError (ssl.SSLError) when they are none, or the key wants a password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password=lambda: "none")  # else OpenSSL asks at the terminal, and waits
    return context


def why_unusable(*paths: Path | None) -> str:
    """What to change about files of certificates and keys that were refused; OpenSSL's own words say it to nobody."""
    for path in paths:
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            return f"{path} cannot be read ({error.strerror}): correct its name or its rights"
    return "they must be PEM files, a key without a password, and a certificate and its key belong to one another"


def self_signed_context(unix: float) -> ssl.SSLContext:
    """With a fresh key (ECDSA P-256, which every client knows) and a certificate that nobody can verify."""
    with tempfile.TemporaryDirectory(prefix="p2psip-") as folder:  # mode 0700; OpenSSL takes keys from files only
        path = Path(folder) / "streams.pem"
        path.write_bytes(as_pem(*self_signed(SELF_SIGNED_NAME, unix, LIFETIME_DAYS)))
        return listening_context(path)
