"""TLS around streams (RFC 8446): here only to get through firewalls that let nothing else pass.

Who the other side is, sealed frames and TURN credentials tell; so by default a listener signs its own certificate and a
dialler verifies none. An operator may give certificate files, for browsers (`turns:`) verify them.
"""

import datetime
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

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


def self_signed_context(unix: float) -> ssl.SSLContext:
    """With a fresh key (ECDSA P-256, which every client knows) and a certificate that nobody can verify."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SELF_SIGNED_NAME)])
    start = datetime.datetime.fromtimestamp(unix, datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SELF_SIGNED_NAME)]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory(prefix="p2psip-") as folder:  # mode 0700; OpenSSL takes keys from files only
        path = Path(folder) / "streams.pem"
        path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        return listening_context(path)
