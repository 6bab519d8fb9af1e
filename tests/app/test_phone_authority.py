"""The authority for phones: made once, kept, and what it issues is renewed when names or time demand it."""

import stat
from pathlib import Path

import pytest

from p2psip.app.phone_authority import AUTHORITY_KEY_FILE, PhoneAuthority, export_authority
from p2psip.app.state import StateError
from p2psip.base.phone_certificates import SERVER_DAYS, Issued
from p2psip.sip.certificate_names import names_of

UNIX = 1_800_000_000.0
DAY = 86_400.0


def made(home: Path) -> PhoneAuthority:
    authority = PhoneAuthority(home, "home.example")
    assert authority.certify(["localhost"], ["127.0.0.1", "::1"], UNIX)
    return authority


def test_an_authority_is_made_once_and_its_key_is_for_the_owner_only(tmp_path: Path) -> None:
    first = PhoneAuthority(tmp_path, "home.example").load(UNIX)
    assert PhoneAuthority(tmp_path, "home.example").load(UNIX + DAY).fingerprint == first.fingerprint
    assert stat.S_IMODE((tmp_path / AUTHORITY_KEY_FILE).stat().st_mode) == 0o600
    made(tmp_path)
    assert stat.S_IMODE((tmp_path / "phones.pem").stat().st_mode) == 0o600


def test_the_certificate_is_by_the_authority_and_names_the_node(tmp_path: Path) -> None:
    authority = made(tmp_path)
    data = authority.server_file.read_bytes()
    issued = Issued.from_pem(data, data)
    issued.certificate.verify_directly_issued_by(authority.load(UNIX).certificate)
    names = names_of(issued.certificate_der)
    assert (names.domains, names.addresses) == (("home.example", "localhost", "127.0.0.1", "::1"), ("127.0.0.1", "::1"))


def test_it_stays_while_it_is_good(tmp_path: Path) -> None:
    authority = made(tmp_path)
    assert not authority.certify(["localhost"], ["127.0.0.1"], UNIX + DAY)
    assert authority.certify(["localhost"], ["127.0.0.1", "192.0.2.7"], UNIX + DAY)
    assert not authority.certify(["localhost"], ["192.0.2.7"], UNIX + 2 * DAY)
    assert authority.certify(["localhost"], [], UNIX + SERVER_DAYS / 2 * DAY + 3 * DAY)


def test_it_is_made_anew_when_the_clock_was_wrong_the_file_is_broken_or_the_authority_another(tmp_path: Path) -> None:
    authority = made(tmp_path)
    assert authority.certify([], [], UNIX - 2 * DAY)
    authority.server_file.write_text("garbage")
    assert authority.certify([], [], UNIX)
    authority.certificate_file.unlink()
    assert authority.certify([], [], UNIX)


@pytest.mark.parametrize("file", ["phones-ca.pem", "phones-ca.key"])
def test_a_broken_authority_is_not_replaced_silently(file: str, tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / file).write_text("garbage")
    with pytest.raises(StateError, match="put them back, or remove both"):
        PhoneAuthority(tmp_path, "home.example").load(UNIX)


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    made(tmp_path)
    (other := tmp_path / "other").mkdir()
    made(other)
    (tmp_path / AUTHORITY_KEY_FILE).write_bytes((other / AUTHORITY_KEY_FILE).read_bytes())
    with pytest.raises(StateError, match="does not belong"):
        PhoneAuthority(tmp_path, "home.example").load(UNIX)


def test_a_copy_can_be_carried_to_a_phone(tmp_path: Path) -> None:
    facts = export_authority(tmp_path, "home.example", UNIX, tmp_path / "copy.pem")
    assert (tmp_path / "copy.pem").read_bytes() == (tmp_path / "phones-ca.pem").read_bytes()
    assert facts["file"] == str(tmp_path / "copy.pem")
    assert len(facts["sha256"].split(":")) == 32
    with pytest.raises(StateError, match="cannot be written"):
        export_authority(tmp_path, "home.example", UNIX, tmp_path / "missing" / "copy.pem")
