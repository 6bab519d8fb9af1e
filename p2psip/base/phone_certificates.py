"""X.509 certificates that a node shows to phones (TLS, WSS): an authority of the node's own, and what it issues to itself.

ECDSA P-256, which every phone knows. Phones are given the authority once; what it issues may change with the node's addresses.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from p2psip.base.errors import RemoteError

AUTHORITY_DAYS = 20 * 365
SERVER_DAYS = 397  # browsers and Apple's phones take none that lasts longer
ADDRESSES_NAMED_MAX = 32
BACKDATED = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as a PEM file."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def certificate_der(self) -> bytes:
        """The certificate as it goes over the wire."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The key in clear as a PEM file."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as phones show it: pairs of hex with colons."""
        return self.certificate.fingerprint(SHA256()).hex(":").upper()

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> "Issued":
        """What `certificate_pem` and `key_pem` gave; RemoteError when it is not that."""
        try:
            private = load_pem_private_key(key, None)
            found = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError) as error:
            raise RemoteError(f"a certificate or key that cannot be read: {error}") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != found.public_key():
            raise RemoteError("a key that does not belong to its certificate")
        return cls(found, private)


def new_authority(overlay: str, unix: float) -> Issued:
    """A fresh authority for the phones of one node of `overlay`; it can issue no other authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "p2psip"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"phones of {overlay[:40]} {serial & 0xFFFFFF:06x}"),
        ]
    )
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    builder = (
        _builder(name, name, key, serial, unix, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False),
            critical=True,
        )
    )
    return Issued(builder.sign(key, SHA256()), key)


def issue_server(authority: Issued, domains: Sequence[str], addresses: Sequence[str], unix: float) -> Issued:
    """A certificate for a node that phones know by these domains and IP addresses (RFC 5922 §7.1 reads the DNS names).

    Addresses stand among the DNS names, too: phones with Mbed TLS 2 (Linphone) look for them only there.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    addresses = addresses[:ADDRESSES_NAMED_MAX]
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in (*domains, *addresses)]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domains[0][:64])])
    issuer = authority.certificate.subject
    builder = (
        _builder(subject, issuer, key, x509.random_serial_number(), unix, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    return Issued(builder.sign(authority.key, SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, serial: int, unix: float, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(unix, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now - BACKDATED + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
