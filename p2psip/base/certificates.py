"""X.509 certificates (Ed25519) of an overlay: its authority, and the devices that it enrols.

A device certificate binds the addresses of a person and the Node-ID of a node as subject alternative names of the URI
kind (RFC 5280 §4.2.1.6; the idea is RELOAD's, RFC 6940 §11.3): `sip:alice@home.example` and
`reload://<node-id hex>@home.example/`.
"""

import datetime
import hashlib
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from p2psip.base.errors import RemoteError
from p2psip.base.keys import NODE_ID_BYTES, NodeKey, SigningKey

CERTIFICATE_BYTES_MAX = 2_048
ADDRESSES_MAX = 8
AUTHORITY_LIFETIME_SECONDS = 20 * 365 * 86_400
CLOCK_SKEW_SECONDS = 300

_UNREADABLE = (
    ValueError,
    TypeError,
    IndexError,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """A device certificate that was verified against its overlay's authority. Times are unix seconds."""

    der: bytes
    serial: int
    overlay: str
    addresses: tuple[str, ...]
    node_id: bytes
    signing_key: bytes
    not_before: int
    not_after: int

    @property
    def user(self) -> str:
        """The local part of the first address: the person's name."""
        return self.addresses[0].partition("@")[0]


def fingerprint(der: bytes) -> bytes:
    """SHA-256 over the DER form (32 bytes)."""
    return hashlib.sha256(der).digest()


def create_authority(overlay: str, key: SigningKey, unix: int) -> bytes:
    """The self-signed certificate of a new overlay's authority, as DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, overlay)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.cryptography_key.public_key())
        .serial_number(int.from_bytes(fingerprint(key.public)[:8], "big") | 1)
        .not_valid_before(_time(unix - CLOCK_SKEW_SECONDS))
        .not_valid_after(_time(unix + AUTHORITY_LIFETIME_SECONDS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.cryptography_key.public_key()), critical=False)
    )
    return builder.sign(key.cryptography_key, None).public_bytes(Encoding.DER)


def certificate_request(signing: SigningKey, node: NodeKey) -> bytes:
    """A PKCS #10 request (RFC 2986) for the device key, naming the Node-ID, as DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"reload://{node.node_id.hex()}@/")])
    return builder.add_extension(names, critical=True).sign(signing.cryptography_key, None).public_bytes(Encoding.DER)


def read_certificate_request(der: bytes) -> tuple[bytes, bytes]:
    """(Ed25519 public key, Node-ID) of a request whose signature holds; RemoteError(400) otherwise."""
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise RemoteError("a certificate request that is too large", status=413)
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        if not isinstance(key, Ed25519PublicKey) or not request.is_signature_valid:
            raise RemoteError("a certificate request must carry an Ed25519 key and be signed by it")
        _addresses, node_id = _read_names(request.extensions)
    except _UNREADABLE as error:
        raise RemoteError("a certificate request that cannot be read") from error
    return key.public_bytes_raw(), node_id


def issue_device(
    ca_der: bytes,
    ca_key: SigningKey,
    *,
    signing_public: bytes,
    node_id: bytes,
    addresses: tuple[str, ...],
    serial: int,
    not_before: int,
    not_after: int,
) -> bytes:
    """A device certificate as DER, signed by the authority. Times are unix seconds."""
    authority = x509.load_der_x509_certificate(ca_der)
    overlay = _common_name(authority)
    names = [x509.UniformResourceIdentifier(f"sip:{address}") for address in addresses]
    names.append(x509.UniformResourceIdentifier(f"reload://{node_id.hex()}@{overlay}/"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, addresses[0])]))
        .issuer_name(authority.subject)
        .public_key(Ed25519PublicKey.from_public_bytes(signing_public))
        .serial_number(serial)
        .not_valid_before(_time(not_before))
        .not_valid_after(_time(not_after))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(ca_key.cryptography_key, None).public_bytes(Encoding.DER)


def verify_device(der: bytes, ca_der: bytes, unix: float) -> DeviceCertificate:
    """The device certificate in `der` if the authority signed it and it is valid at `unix`; else RemoteError(403)."""
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise RemoteError("a certificate that is too large", status=413)
    try:
        authority = x509.load_der_x509_certificate(ca_der)
        certificate = _load_strictly(der)
        certificate.verify_directly_issued_by(authority)
        key = certificate.public_key()
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        addresses, node_id = _read_names(certificate.extensions)
        not_before = int(certificate.not_valid_before_utc.timestamp())
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except InvalidSignature as error:
        raise RemoteError("a certificate that another authority signed", status=403) from error
    except _UNREADABLE as error:
        raise RemoteError("a certificate that cannot be read, or of another overlay", status=403) from error
    if basic.ca or not isinstance(key, Ed25519PublicKey) or not addresses:
        raise RemoteError("a certificate that is not a device's", status=403)
    if unix < not_before - CLOCK_SKEW_SECONDS:
        raise RemoteError("a certificate outside its validity period: it is not valid yet", status=403)
    if unix > not_after:
        raise RemoteError("a certificate outside its validity period: it has run out", status=403)
    return DeviceCertificate(
        der=der,
        serial=certificate.serial_number,
        overlay=_common_name(authority),
        addresses=addresses,
        node_id=node_id,
        signing_key=key.public_bytes_raw(),
        not_before=not_before,
        not_after=not_after,
    )


def authority_key(ca_der: bytes) -> bytes:
    """The Ed25519 public key of an authority's certificate; RemoteError(403) if it is no such certificate."""
    try:
        key = x509.load_der_x509_certificate(ca_der).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RemoteError("an authority certificate that cannot be read", status=403) from error
    if not isinstance(key, Ed25519PublicKey):
        raise RemoteError("an authority certificate without an Ed25519 key", status=403)
    return key.public_bytes_raw()


def overlay_of(ca_der: bytes) -> str:
    """The overlay's name in its authority's certificate; RemoteError(403) if it cannot be read."""
    try:
        return _common_name(x509.load_der_x509_certificate(ca_der))
    except ValueError as error:
        raise RemoteError("an authority certificate that cannot be read", status=403) from error


def _load_strictly(der: bytes) -> x509.Certificate:
    """What `cryptography` only warns of (a serial number that is not positive, RFC 5280 §4.1.2.2) is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


def _read_names(extensions: x509.Extensions) -> tuple[tuple[str, ...], bytes]:
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    addresses = tuple(uri.removeprefix("sip:").lower() for uri in uris if uri.startswith("sip:"))
    nodes = [uri.removeprefix("reload://").partition("@")[0] for uri in uris if uri.startswith("reload://")]
    if len(addresses) > ADDRESSES_MAX or len(nodes) != 1 or len(nodes[0]) != 2 * NODE_ID_BYTES:
        raise RemoteError("a certificate must name one Node-ID and at most eight addresses", status=403)
    return addresses, bytes.fromhex(nodes[0])


def _common_name(certificate: x509.Certificate) -> str:
    value = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return value if isinstance(value, str) else value.decode()


def _time(unix: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(unix, tz=datetime.UTC)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
