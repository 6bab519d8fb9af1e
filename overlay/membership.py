"""Who belongs to the overlay: device certificates checked against the authority and the signed configuration.

The check of a certificate's signature costs some 200 µs, so that its result is remembered and what is new has a budget;
revocation, ban and validity period are looked at every time. Whether an authority signed some bytes depends on nothing else,
so what was found out is shared by all nodes of one process. Source of the idea: RELOAD, RFC 6940 §11.3 (enrolment) and §13.2.
"""

from functools import lru_cache

from overlay.budget import Budget
from p2psip.base.certificates import CLOCK_SKEW_SECONDS, DeviceCertificate, verify_device
from p2psip.base.configuration import verify_configuration
from p2psip.base.errors import RemoteError

CERTIFICATES_MAX = 32_768
AUTHORITIES_MAX = 16
NEW_CERTIFICATES_PER_SECOND_MAX = 1_000


class Membership:
    """The overlay's authority, and in `configuration` its newest one. It begins with a signed form."""

    __slots__ = ("_budget", "_in_use", "_signed_by_authority", "ca_der", "configuration")

    def __init__(self, ca_der: bytes, configuration: bytes) -> None:
        self.ca_der = ca_der
        self.configuration = verify_configuration(configuration, ca_der)
        self._in_use = configuration
        self._budget = Budget(NEW_CERTIFICATES_PER_SECOND_MAX)
        self._signed_by_authority = verified_certificates(ca_der)

    def __len__(self) -> int:
        """How many certificates are remembered as the authority's (at most CERTIFICATES_MAX)."""
        return len(self._signed_by_authority)

    @property
    def overlay(self) -> str:
        """The overlay's name."""
        return self.configuration.overlay

    @property
    def signed_configuration(self) -> bytes:
        """The newest configuration in the form that the authority signed, to be handed to others."""
        return self._in_use

    def check(self, der: bytes, unix: float) -> DeviceCertificate:
        """The certificate if of this overlay, valid at `unix` and neither revoked nor banned; else RemoteError(403)."""
        certificate = self._signed_by_authority.get(der)
        if certificate is None:
            certificate = self._verify(der, unix)
        if unix > certificate.not_after:
            del self._signed_by_authority[der]
        self.check_again(certificate, unix)
        return certificate

    def check_again(self, certificate: DeviceCertificate, unix: float) -> None:
        """RemoteError(403) unless a certificate that `check` gave is still valid and neither revoked nor banned."""
        if unix > certificate.not_after:
            raise RemoteError("a certificate outside its validity period: it has run out", status=403)
        if unix < certificate.not_before - CLOCK_SKEW_SECONDS:
            raise RemoteError("a certificate outside its validity period: it is not valid yet", status=403)
        if certificate.serial in self.configuration.revoked_serials:
            raise RemoteError("a certificate that was revoked", status=403)
        if certificate.node_id in self.configuration.banned_node_ids:
            raise RemoteError("a node that is banned from this overlay", status=403)

    def is_in_force(self, certificate: DeviceCertificate, unix: float) -> bool:
        """Whether `check_again` lets it pass: asked with each answer, so in few steps."""
        newest = self.configuration
        return (
            certificate.not_before - CLOCK_SKEW_SECONDS <= unix <= certificate.not_after
            and certificate.serial not in newest.revoked_serials
            and certificate.node_id not in newest.banned_node_ids
        )

    def update(self, configuration: bytes) -> bool:
        """Take a signed configuration if newer; say whether it was. RemoteError if the authority did not sign."""
        if configuration == self._in_use:
            return False
        newer = verify_configuration(configuration, self.ca_der)
        if newer.sequence <= self.configuration.sequence:
            return False
        self.configuration = newer
        self._in_use = configuration
        return True

    def _verify(self, der: bytes, unix: float) -> DeviceCertificate:
        if not self._budget.spend(unix):
            raise RemoteError(f"more than {NEW_CERTIFICATES_PER_SECOND_MAX} new certificates in a second", status=503)
        certificate = verify_device(der, self.ca_der, unix)
        self._signed_by_authority[der] = certificate
        if len(self._signed_by_authority) > CERTIFICATES_MAX:
            del self._signed_by_authority[next(iter(self._signed_by_authority))]
        return certificate


@lru_cache(maxsize=AUTHORITIES_MAX)
def verified_certificates(_ca_der: bytes) -> dict[bytes, DeviceCertificate]:
    """The certificates by this authority that some node of this process has verified, the oldest first."""
    return {}
