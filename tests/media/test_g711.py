"""G.711: all 65,536 samples and all 256 codes, against the law itself and against the standard library's coder."""

import warnings
from array import array
from itertools import pairwise
from types import ModuleType

import pytest

from media.g711 import PCMA, PCMU, decode, encode

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

LAWS: list[tuple[int, str]] = [(PCMU, "ulaw"), (PCMA, "alaw")]
SAMPLES = array("h", range(-32_768, 32_768))
CODES = bytes(range(256))
# ITU-T G.711 tables 1a to 2b, the positive values at the segments' ends, scaled to 16 bits
MU_SEGMENT_ENDS = {0x80: 32_124, 0x8F: 16_764, 0x90: 15_996, 0x9F: 8_316, 0xEF: 132, 0xF0: 120, 0xFF: 0, 0x00: -32_124}
A_SEGMENT_ENDS = {0xD5: 8, 0xD4: 24, 0xC5: 264, 0x85: 4_224, 0xAA: 32_256, 0x55: -8, 0x2A: -32_256}


def of(module: ModuleType, name: str, data: bytes) -> bytes:
    """One of audioop's coders on 16-bit samples."""
    coder = getattr(module, name)
    result: bytes = coder(data, 2)
    return result


@pytest.mark.parametrize(("payload_type", "law"), LAWS)
def test_all_codes_decode_as_the_standard_library_does(payload_type: int, law: str) -> None:
    assert decode(payload_type, CODES).tobytes() == of(audioop, f"{law}2lin", CODES)


def test_all_samples_encode_to_a_law_as_the_standard_library_does() -> None:
    assert encode(PCMA, SAMPLES) == of(audioop, "lin2alaw", SAMPLES.tobytes())


def test_all_samples_encode_to_mu_law_by_the_decision_values() -> None:
    """mu-law is defined on 14 bits. audioop cuts the two lowest bits of negative samples downwards, so that some cross a
    decision value which they have not reached; it is the referee for the others, and symmetry for those.
    """
    ours, theirs = encode(PCMU, SAMPLES), of(audioop, "lin2ulaw", SAMPLES.tobytes())
    code = dict(zip(SAMPLES, ours, strict=True))
    judged = [(s, a, b) for s, a, b in zip(SAMPLES, ours, theirs, strict=True) if s >= 0 or s % 4 == 0]
    assert [(s, a, b) for s, a, b in judged if a != b] == []
    assert [s for s in range(1, 32_768) if code[-s] != code[s] & 0x7F] == []


@pytest.mark.parametrize(("payload_type", "law"), LAWS)
def test_a_decoded_code_encodes_to_itself(payload_type: int, law: str) -> None:
    again = encode(payload_type, decode(payload_type, CODES))
    # mu-law has two zeros, 0x7F (negative) and 0xFF; linear samples have one
    assert again == (CODES.replace(b"\x7f", b"\xff") if law == "ulaw" else CODES)


@pytest.mark.parametrize(("payload_type", "ends"), [(PCMU, MU_SEGMENT_ENDS), (PCMA, A_SEGMENT_ENDS)])
def test_the_ends_of_the_segments_are_those_of_the_recommendation(payload_type: int, ends: dict[int, int]) -> None:
    assert {code: decode(payload_type, bytes([code]))[0] for code in ends} == ends


@pytest.mark.parametrize(("payload_type", "law"), LAWS)
def test_the_error_is_within_half_a_step(payload_type: int, law: str) -> None:
    values = sorted(set(decode(payload_type, CODES)))
    widest = {value: max(b - a for a, b in pairwise(values) if value in (a, b)) for value in values}
    for sample, value in zip(SAMPLES, decode(payload_type, encode(payload_type, SAMPLES)), strict=True):
        clipped = max(min(sample, values[-1]), values[0])
        assert abs(clipped - value) <= widest[value] // 2 + (1 if law == "ulaw" else 16)


def test_nothing_is_nothing() -> None:
    assert encode(PCMU, array("h")) == b""
    assert decode(PCMA, b"") == array("h")
