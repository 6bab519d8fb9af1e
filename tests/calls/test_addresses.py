"""What dialled things mean."""

import pytest

from p2psip.calls.addresses import Addresses
from p2psip.sip.uri import parse_uri

ADDRESSES = Addresses("home.example", ("alice@home.example", "1001@home.example"))


@pytest.mark.parametrize(
    ("dialled", "meant"),
    [
        ("sip:bob@home.example", "bob@home.example"),
        ("sip:Bob@HOME.example;user=phone", "bob@home.example"),
        ("sips:1001@home.example:5061", "1001@home.example"),
        ("sip:bob@127.0.0.1:5060", "bob@home.example"),
        ("sip:bob@[::1]", "bob@home.example"),
        ("sip:bob@localhost", "bob@home.example"),
        ("tel:10-01;phone-context=x", "1001@home.example"),
        ("urn:service:sos.fire", "112@home.example"),
        ("urn:service:other", None),
        ("sip:bob@elsewhere.example", None),
        ("http://home.example", None),
    ],
)
def test_what_is_dialled(dialled: str, meant: str | None) -> None:
    assert ADDRESSES.of_ours(parse_uri(dialled)) == meant


def test_aliases_stand_for_the_main_address() -> None:
    assert ADDRESSES.main("1001@home.example") == "alice@home.example"
    assert ADDRESSES.main("bob@home.example") == "bob@home.example"
    assert ADDRESSES.is_own("1001@home.example")
