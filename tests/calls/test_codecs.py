"""Which codecs a provider is offered, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.calls.codecs import preferring
from p2psip.calls.descriptions import Audio

OFFER = Audio(
    ("96", "9", "0", "8", "101", "13"),
    (
        ("rtpmap", "96 opus/48000/2"),
        ("fmtp", "96 useinbandfec=1"),
        ("rtpmap", "101 telephone-event/8000"),
        ("fmtp", "101 0-15"),
        ("ptime", "20"),
    ),
)


@pytest.mark.parametrize(
    ("names", "formats"),
    [
        ((), OFFER.formats),
        (("PCMA", "PCMU"), ("8", "0", "101", "13")),
        (("Opus",), ("96", "101", "13")),
        (("G729", "G722"), ("9", "101", "13")),
        (("G729",), OFFER.formats),
    ],
)
def test_the_wanted_ones_in_that_order_digits_and_comfort_noise_last(
    names: tuple[str, ...], formats: tuple[str, ...]
) -> None:
    assert preferring(OFFER, names).formats == formats


def test_attributes_of_what_is_left_out_are_left_out() -> None:
    assert preferring(OFFER, ("PCMA",)).attributes == OFFER.attributes[2:]


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=20), max_size=4))
def test_any_names_and_attributes_leave_something(names: list[str], values: list[str]) -> None:
    audio = Audio(("0", "96"), tuple(("rtpmap", value) for value in values))
    assert set(preferring(audio, names).formats) <= {"0", "96"}
    assert preferring(audio, names).formats
