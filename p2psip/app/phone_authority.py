"""The authority for phones of one node, in its folder: made when it is first wanted, exported, and used to certify the node.

`phones-ca.pem` is what a phone is given to trust; `phones-ca.key` stays with the node; `phones.pem` is what the node shows.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from p2psip.app.state import StateError
from p2psip.base.errors import RemoteError
from p2psip.base.phone_certificates import Issued, issue_server, new_authority
from p2psip.sip.certificate_names import names_of

AUTHORITY_FILE = "phones-ca.pem"
AUTHORITY_KEY_FILE = "phones-ca.key"
SERVER_FILE = "phones.pem"
PEM_BYTES_MAX = 65_536


class PhoneAuthority:
    """The authority of the node whose folder is `home`."""

    def __init__(self, home: Path, overlay: str) -> None:
        self._home = home
        self._overlay = overlay
        self.certificate_file = home / AUTHORITY_FILE
        self.server_file = home / SERVER_FILE

    def load(self, unix: float) -> Issued:
        """The authority; a new one if there is none. StateError when its files cannot be used."""
        key_file = self._home / AUTHORITY_KEY_FILE
        try:
            if self.certificate_file.exists() and key_file.exists():
                return Issued.from_pem(_read(self.certificate_file), _read(key_file))
            made = new_authority(self._overlay, unix)
            _write(key_file, made.key_pem, 0o600)
            _write(self.certificate_file, made.certificate_pem, 0o644)
        except OSError as error:
            raise StateError(
                f"the certificates for phones in {self._home} cannot be read or written: {error.strerror}"
            ) from error
        except RemoteError as error:
            raise StateError(
                f"{self.certificate_file} and {key_file.name}: {error}; put them back, or remove both for new ones "
                "(phones must trust those anew)"
            ) from error
        return made

    def certify(self, domains: Iterable[str], addresses: Iterable[str], unix: float) -> bool:
        """Renew `server_file` if it does not hold these names or half its time is over; whether it was renewed."""
        authority = self.load(unix)
        wanted = sorted(dict.fromkeys(domains)), sorted({str(ipaddress.ip_address(each)) for each in addresses})
        if self._is_good(authority, wanted, unix):
            return False
        issued = issue_server(authority, [self._overlay, *wanted[0]], wanted[1], unix)
        try:
            _write(self.server_file, issued.certificate_pem + issued.key_pem, 0o600)
        except OSError as error:
            raise StateError(f"{self.server_file} cannot be written: {error.strerror}") from error
        return True

    def _is_good(self, authority: Issued, wanted: tuple[list[str], list[str]], unix: float) -> bool:
        try:
            data = _read(self.server_file)
            issued = Issued.from_pem(data, data)
            names = names_of(issued.certificate_der)
        except (OSError, RemoteError):
            return False
        certificate = issued.certificate
        half = (
            certificate.not_valid_before_utc + (certificate.not_valid_after_utc - certificate.not_valid_before_utc) / 2
        )
        now = datetime.datetime.fromtimestamp(unix, datetime.UTC)
        return (
            certificate.issuer == authority.certificate.subject
            and certificate.not_valid_before_utc <= now < half
            and all(names.show(name) for name in (self._overlay, *wanted[0], *wanted[1]))
        )


def export_authority(home: Path, overlay: str, unix: float, copy: Path | None) -> dict[str, str]:
    """`file` (the copy, if one is wanted) and `sha256` of the authority; StateError when it cannot be written."""
    authority = PhoneAuthority(home, overlay)
    issued = authority.load(unix)
    if copy is not None:
        try:
            copy.write_bytes(issued.certificate_pem)
        except OSError as error:
            raise StateError(f"{copy} cannot be written: {error.strerror}") from error
    return {"file": str(copy or authority.certificate_file), "sha256": issued.fingerprint}


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PEM_BYTES_MAX)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file at once, so that a crash leaves the old or the new one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(data)
    new.replace(path)
