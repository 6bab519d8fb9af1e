"""A certificate that is renewed under a running node: new connections see the new one, and a bad one changes nothing."""

import errno
import logging
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2psip.app import renewed_certificate
from p2psip.app.renewed_certificate import RenewedCertificate
from p2psip.base.phone_certificates import Issued, issue_server, new_authority

UNIX = 1_800_000_000.0
DAY = 86_400.0
DOMAIN = "people.example"
AUTHORITY = new_authority(DOMAIN, UNIX)


@dataclass
class StillClock:
    """A clock that tests set."""

    time: float = UNIX

    def now(self) -> float:
        return self.time

    def unix(self) -> float:
        return self.time


@dataclass
class Files:
    """The two files; each pair that is put there is a second younger."""

    folder: Path
    writes: int = 0

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def put(self, issued: Issued, *, with_key: bool = True) -> None:
        self.write(self.certificate, issued.certificate_pem)
        if with_key:
            self.write(self.key, issued.key_pem)

    def write(self, path: Path, content: bytes) -> None:
        self.writes += 1
        path.write_bytes(content)
        os.utime(path, (UNIX + self.writes, UNIX + self.writes))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    found.put(issued())
    return found


def issued(name: str = DOMAIN, unix: float = UNIX) -> Issued:
    return issue_server(AUTHORITY, [name], [], unix)


def opened(files: Files, clock: StillClock | None = None) -> RenewedCertificate:
    return RenewedCertificate(files.certificate, files.key, DOMAIN, clock or StillClock())


def shown(certificate: RenewedCertificate, asked_for: str | None = DOMAIN) -> str:
    """The certificate that a new connection is shown, in PEM."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client = trusting.wrap_bio(to_client, to_server, server_hostname=asked_for)
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    return ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True) or b"").strip()


def not_readable(_certificate: Path, key: Path) -> ssl.SSLContext:
    raise PermissionError(errno.EACCES, "Permission denied", str(key))


def is_shown(certificate: RenewedCertificate, expected: Issued) -> bool:
    return shown(certificate) == expected.certificate_pem.decode().split("\n-----BEGIN", 1)[0].strip()


@pytest.mark.parametrize("asked_for", [DOMAIN, None])
def test_a_new_connection_sees_the_new_certificate(files: Files, asked_for: str | None) -> None:
    certificate = opened(files)
    before = shown(certificate, asked_for)
    assert shown(certificate, asked_for) == before
    new = issued()
    files.put(new)
    assert shown(certificate, asked_for) != before
    assert is_shown(certificate, new)


def test_a_pair_that_is_half_written_waits_for_the_other_half(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    certificate, before, new = opened(files), None, issued()
    before = shown(certificate)
    files.put(new, with_key=False)
    assert shown(certificate) == before
    assert "old certificate" in caplog.text
    files.write(files.key, new.key_pem)
    assert is_shown(certificate, new)


def test_a_key_that_may_be_read_later_is_taken_then(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ACME client writes keys for root only; whoever lets the node read one changes no time and no size."""
    certificate = opened(files)
    before, new = shown(certificate), issued()
    with monkeypatch.context() as closed:
        closed.setattr(renewed_certificate, "listening_context", not_readable)
        files.put(new)
        assert shown(certificate) == before
    changed = files.key.stat().st_ctime_ns
    while files.key.stat().st_ctime_ns == changed:  # the clock of the file system ticks a few hundred times a second
        files.key.chmod(0o640)
    assert is_shown(certificate, new)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_bad_file_is_told_of_once_and_the_old_one_stays(
    files: Files, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    certificate = opened(files)
    before = shown(certificate)
    if content is None:
        files.certificate.unlink()
    else:
        files.write(files.certificate, content)
    for _ in range(3):
        assert shown(certificate) == before
    (words,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "callers over TLS are shown the old certificate" in words
    assert str(files.certificate) in words
    files.put(new := issued())
    assert is_shown(certificate, new)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (issued("other.example"), "one of other.example, not of people.example"),
        (issued("*.example"), "no wildcards"),
        (issued(unix=UNIX - 1_000 * DAY), "is valid from 2024"),
        (issued(unix=UNIX + 10 * DAY), "UTC only"),
    ],
)
def test_what_nobody_would_believe_is_not_taken(
    files: Files, caplog: pytest.LogCaptureFixture, bad: Issued, words: str
) -> None:
    certificate = opened(files)
    before = shown(certificate)
    files.put(bad)
    assert shown(certificate) == before
    assert words in caplog.text


def test_at_the_start_doubts_are_told_and_what_cannot_be_used_is_an_error(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.put(other := issued("other.example"))
    assert is_shown(opened(files), other)
    assert "not of people.example" in caplog.text
    files.write(files.key, issued().key_pem)
    with pytest.raises(ssl.SSLError):
        opened(files)
    files.key.unlink()
    with pytest.raises(FileNotFoundError):
        opened(files)
