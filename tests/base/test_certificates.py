"""Certificates: what the authority issues verifies; everything else is refused with 403 or 413."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.certificates import (
    CERTIFICATE_BYTES_MAX,
    CLOCK_SKEW_SECONDS,
    certificate_request,
    create_authority,
    issue_device,
    overlay_of,
    read_certificate_request,
    verify_device,
)
from p2psip.base.chance import Chance
from p2psip.base.configuration import OverlayConfiguration, sign_configuration, verify_configuration
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey

UNIX = 1_800_000_000
CHANCE = Chance.seeded(1)
CA_KEY = SigningKey.generate(CHANCE)
CA = create_authority("home.example", CA_KEY, UNIX)
DEVICE, NODE = SigningKey.generate(CHANCE), NodeKey.generate(CHANCE)
ADDRESSES = ("alice@home.example", "1001@home.example")


def issue(ca: bytes = CA, ca_key: SigningKey = CA_KEY) -> bytes:
    return issue_device(
        ca,
        ca_key,
        signing_public=DEVICE.public,
        node_id=NODE.node_id,
        addresses=ADDRESSES,
        serial=2**63 + 5,
        not_before=UNIX,
        not_after=UNIX + 1000,
    )


def test_an_issued_certificate_verifies_and_names_all() -> None:
    certificate = verify_device(issue(), CA, UNIX + 10)
    assert certificate.addresses == ADDRESSES
    assert certificate.user == "alice"
    assert certificate.node_id == NODE.node_id
    assert certificate.signing_key == DEVICE.public
    assert certificate.serial == 2**63 + 5
    assert certificate.overlay == overlay_of(CA) == "home.example"
    assert (certificate.not_before, certificate.not_after) == (UNIX, UNIX + 1000)


@pytest.mark.parametrize("unix", [UNIX - CLOCK_SKEW_SECONDS - 1, UNIX + 1001])
def test_outside_its_validity_it_is_refused(unix: int) -> None:
    with pytest.raises(RemoteError, match="validity"):
        verify_device(issue(), CA, unix)


def test_a_foreign_authority_of_the_same_name_is_refused() -> None:
    foreign_key = SigningKey.generate(CHANCE)
    foreign = create_authority("home.example", foreign_key, UNIX)
    with pytest.raises(RemoteError, match="another authority"):
        verify_device(issue(foreign, foreign_key), CA, UNIX)


def test_the_authority_itself_is_no_device_and_size_is_bounded() -> None:
    with pytest.raises(RemoteError):
        verify_device(CA, CA, UNIX)
    with pytest.raises(RemoteError) as caught:
        verify_device(b"0" * (CERTIFICATE_BYTES_MAX + 1), CA, UNIX)
    assert caught.value.status == 413


@given(st.integers(0, len(issue()) * 8 - 1))
def test_one_flipped_bit_is_never_accepted_as_another_person(bit: int) -> None:
    data = bytearray(issue())
    data[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(RemoteError):
        verify_device(bytes(data), CA, UNIX)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_remote_error(data: bytes) -> None:
    with pytest.raises(RemoteError):
        verify_device(data, CA, UNIX)
    with pytest.raises(RemoteError):
        read_certificate_request(data)
    with pytest.raises(RemoteError):
        verify_configuration(data, CA)


def test_a_request_names_key_and_node() -> None:
    assert read_certificate_request(certificate_request(DEVICE, NODE)) == (DEVICE.public, NODE.node_id)


def test_a_configuration_is_bound_to_its_authority_and_overlay() -> None:
    configuration = OverlayConfiguration("home.example", 3, UNIX, frozenset([2**63 + 5]), frozenset([NODE.node_id]))
    assert verify_configuration(sign_configuration(configuration, CA_KEY), CA) == configuration
    other = sign_configuration(dataclasses.replace(configuration, overlay="other.example"), CA_KEY)
    with pytest.raises(RemoteError, match="another overlay"):
        verify_configuration(other, CA)
    with pytest.raises(RemoteError):
        verify_configuration(sign_configuration(configuration, SigningKey.generate(CHANCE)), CA)
