"""A certificate in files that somebody else renews (an ACME client, say): what is there now is shown to each new connection.

A new pair that cannot be used, or that nobody would believe, is told of once in the log, and the old one stays in use.
"""

import logging
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from p2psip.base.errors import RemoteError
from p2psip.calls.ports import ClockPort
from p2psip.net.tls import listening_context, why_unusable
from p2psip.sip.certificate_names import check_name

_log = logging.getLogger(__name__)


class RenewedCertificate:
    """The chain and key of two PEM files for `name`. OSError (ssl.SSLError) when they cannot be used at the start.

    `context` is for listeners. At each handshake it looks at the times and sizes of the files, and reads them if these changed;
    who may read a file is a change, too.
    """

    def __init__(self, certificate: Path, key: Path, name: str, clock: ClockPort) -> None:
        self._certificate = certificate
        self._key = key
        self._name = name
        self._clock = clock
        self._seen = self._look()
        self.context = self._current = listening_context(certificate, key)
        self.context.sni_callback = self._show
        if fault := self._fault():
            _log.warning("callers who check certificates will not come over TLS: %s", fault)

    def _show(self, connection: ssl.SSLSocket | ssl.SSLObject, _asked_for: str | None, _: ssl.SSLContext) -> None:
        """At each handshake, whether the caller names a server or not (RFC 6066 §3)."""
        self._renew()
        connection.context = self._current

    def _renew(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen  # of a pair that is half written the other half will change this again
        try:
            found, fault = listening_context(self._certificate, self._key), self._fault()
        except OSError:  # ssl.SSLError is one
            fault = f"{self._certificate} and {self._key} cannot be used: {why_unusable(self._certificate, self._key)}"
        if fault:
            _log.error("callers over TLS are shown the old certificate: %s", fault)
            return
        self._current = found
        _log.info("callers over TLS are shown a new certificate of %s", self._name)

    def _look(self) -> tuple[tuple[int, ...] | None, ...]:
        return _state(self._certificate), _state(self._key)

    def _fault(self) -> str:
        """Why nobody would believe what is in the file now; "" for nothing."""
        try:
            first = x509.load_pem_x509_certificates(self._certificate.read_bytes())[0]
            check_name(first.public_bytes(Encoding.DER), self._name)
            start, end = first.not_valid_before_utc, first.not_valid_after_utc
        except (RemoteError, ValueError) as error:
            return f"{self._certificate}: {error}"
        if not start.timestamp() <= self._clock.unix() < end.timestamp():
            return f"{self._certificate} is valid from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC only"
        return ""


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
