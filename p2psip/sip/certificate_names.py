"""Whom a certificate speaks for in SIP (RFC 5922 §7.1, §7.2). Whether it can be trusted at all is OpenSSL's business."""

import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from p2psip.base.errors import RemoteError
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.uri import SipUri

NAMES_TOLD_MAX = 5

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Domains (lower case) and IP addresses that a certificate was issued for."""

    domains: tuple[str, ...]
    addresses: tuple[str, ...]

    def show(self, host: str) -> bool:
        """Whether the certificate is one of `host`. A wildcard never counts (§7.2)."""
        try:
            return str(ipaddress.ip_address(host.strip("[]"))) in self.addresses
        except ValueError:
            return host.lower().rstrip(".") in (name for name in self.domains if "*" not in name)

    def __str__(self) -> str:
        names = list(dict.fromkeys((*self.domains, *self.addresses)))
        more = f" and {len(names) - NAMES_TOLD_MAX} more" if len(names) > NAMES_TOLD_MAX else ""
        return ", ".join(names[:NAMES_TOLD_MAX]) + more if names else "nobody"


def names_of(certificate: bytes) -> CertificateNames:
    """The names in a certificate (DER): sip URIs, without any the DNS names, without subjectAltName the common name (§7.1).

    RemoteError(503) when it cannot be read.
    """
    try:
        return _read(certificate)
    except _UNREADABLE as error:
        raise RemoteError("the certificate cannot be read", status=503) from error


def check_name(certificate: bytes, host: str) -> None:
    """RemoteError(503) with words unless `certificate` (DER) is one of `host`, a domain or an IP address."""
    names = names_of(certificate)
    if names.show(host):
        return
    wildcard = any("*" in name for name in names.domains)
    words = "; SIP takes no wildcards (RFC 5922)" if wildcard else ""
    raise RemoteError(f"the certificate is one of {names}, not of {host}{words}", status=503)


def _domain_of(uri: str) -> str | None:
    """The host of a `sip:` URI that names a domain, and nobody in it."""
    try:
        parsed = SipUri.parse(uri)
    except SipSyntaxError:
        return None
    return parsed.host if parsed.scheme == "sip" and parsed.user is None else None


def _read(certificate: bytes) -> CertificateNames:
    parsed = x509.load_der_x509_certificate(certificate)
    try:
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return CertificateNames(_plain([str(each.value) for each in common]), ())
    uris = [_domain_of(uri) for uri in found.get_values_for_type(x509.UniformResourceIdentifier)]
    domains = [uri for uri in uris if uri is not None] or found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return CertificateNames(_plain(domains), tuple(str(each) for each in addresses))


def _plain(names: list[str]) -> tuple[str, ...]:
    return tuple(name.lower().rstrip(".") for name in names)
