"""The HTTPS certificate of the bootstrap server: issued by the overlay's authority, which the invite link pins.

A client first fetches the authority's certificate over a connection that it does not trust, compares it with the
fingerprint in its invite, and from then on trusts exactly this authority and the overlay's name. No public authority and
no name service has a say.
"""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bootstrap.invite import Invite
from p2psip.base.certificates import CLOCK_SKEW_SECONDS, fingerprint, overlay_of
from p2psip.base.errors import RemoteError
from p2psip.base.keys import SigningKey

SERVER_LIFETIME_SECONDS = 90 * 86_400
_SUBJECT = (
    "bootstrap server"  # the overlay's own name is the issuer's: a certificate with both alike counts as self-signed
)


def issue_server(ca_der: bytes, ca_key: SigningKey, server: SigningKey, serial: int, unix: float) -> bytes:
    """A TLS server certificate (DER) for the overlay's own name, valid from shortly before `unix` for 90 days."""
    authority = x509.load_der_x509_certificate(ca_der)
    overlay = overlay_of(ca_der)
    start = datetime.datetime.fromtimestamp(int(unix) - CLOCK_SKEW_SECONDS, tz=datetime.UTC)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.cryptography_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SUBJECT)]))
        .issuer_name(authority.subject)
        .public_key(server.cryptography_key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(seconds=SERVER_LIFETIME_SECONDS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(overlay)]), critical=False)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(ca_key.cryptography_key, None).public_bytes(Encoding.DER)


def check_authority(ca_der: bytes, invite: Invite) -> None:
    """Return if `ca_der` is the very certificate that the invite pins; else RemoteError(403)."""
    if fingerprint(ca_der) != invite.fingerprint:
        raise RemoteError(
            "the bootstrap server shows another authority than the invite names: "
            "do not trust it, and ask whoever invited you for a new link",
            status=403,
        )
    if overlay_of(ca_der) != invite.overlay:
        raise RemoteError(
            f"the invite is for {invite.overlay}, the server's overlay is {overlay_of(ca_der)}", status=403
        )


def check_periods(ca_der: bytes, server_der: bytes, unix: float) -> None:
    """Return if the authority's and the server's certificate are both valid at `unix`; else RemoteError(403)."""
    for der in (ca_der, server_der):
        certificate = x509.load_der_x509_certificate(der)
        start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        if not start - CLOCK_SKEW_SECONDS <= unix <= end:
            raise RemoteError(
                "the bootstrap server shows a certificate that is not valid today, even by its own clock: tell its operator",
                status=403,
            )
