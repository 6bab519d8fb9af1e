"""Whom a certificate speaks for: sip URIs before DNS names before the common name; garbage is an error of theirs."""

import contextlib
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.sip.certificate_names import NAMES_TOLD_MAX, check_name, names_of

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(*names: x509.GeneralName, common: str = "common.example") -> bytes:
    """A certificate with these alternative names (none: without the extension)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(START).not_valid_after(START + datetime.timedelta(days=1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


WHOLE = certificate(dns("a.example"), uri("sip:b.example"))


@pytest.mark.parametrize(
    ("names", "domains"),
    [
        ([], ("common.example",)),
        ([dns("A.example"), dns("b.example.")], ("a.example", "b.example")),
        ([dns("a.example"), uri("sip:B.example")], ("b.example",)),
        ([dns("a.example"), uri("sip:alice@b.example"), uri("sips:c.example"), uri("http://d/")], ("a.example",)),
        ([uri("sip:alice@b.example")], ()),
        ([x509.RFC822Name("alice@b.example")], ()),
    ],
)
def test_which_names_count(names: list[x509.GeneralName], domains: tuple[str, ...]) -> None:
    assert names_of(certificate(*names)).domains == domains


def test_a_name_is_compared_as_domains_are() -> None:
    check_name(certificate(dns("a.example")), "A.Example.")
    check_name(certificate(uri("sip:a.example")), "a.example")
    with pytest.raises(RemoteError):
        check_name(certificate(dns("a.example")), "b.a.example")


def test_a_wildcard_never_counts_not_even_literally() -> None:
    with pytest.raises(RemoteError, match="no wildcards"):
        check_name(certificate(dns("*.example")), "*.example")


def test_one_name_more_than_are_told_is_counted() -> None:
    many = certificate(*(dns(f"n{number}.example") for number in range(NAMES_TOLD_MAX + 1)))
    with pytest.raises(RemoteError, match=r"n4\.example and 1 more, not of x"):
        check_name(many, "x")


@given(st.binary(max_size=200))
def test_garbage_is_a_remote_error(data: bytes) -> None:
    with pytest.raises(RemoteError):
        names_of(data)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_certificate_gives_names_or_a_remote_error(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(WHOLE)
    for place, byte in changes:
        damaged[place] = byte
    with contextlib.suppress(RemoteError):
        assert str(names_of(bytes(damaged)))
