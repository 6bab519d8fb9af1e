"""G.711: 8-bit companded speech (ITU-T G.711) to and from 16-bit linear samples, by tables."""

from array import array

SAMPLE_RATE = 8_000
PCMU, PCMA = 0, 8
_BIAS, _CLIP = 0x84, 32_635


def _decode_mu(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 7)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


def _decode_a(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    magnitude = (mantissa << 4) + 8 if exponent == 0 else (mantissa << 4) + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


def _encode_mu(sample: int) -> int:
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def _encode_a(sample: int) -> int:
    sign, magnitude = (0, ~sample) if sample < 0 else (0x80, sample)
    magnitude >>= 4
    exponent = max(magnitude.bit_length() - 4, 0)
    mantissa = magnitude & 0x0F if exponent == 0 else magnitude >> exponent - 1 & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55


_DECODE = {PCMU: [_decode_mu(code) for code in range(256)], PCMA: [_decode_a(code) for code in range(256)]}
_SAMPLES = [value - 65_536 if value >= 32_768 else value for value in range(65_536)]
_ENCODE = {PCMU: bytes(map(_encode_mu, _SAMPLES)), PCMA: bytes(map(_encode_a, _SAMPLES))}


def decode(payload_type: int, payload: bytes) -> "array[int]":
    """16-bit samples of a PCMU (0) or PCMA (8) payload."""
    return array("h", map(_DECODE[payload_type].__getitem__, payload))


def encode(payload_type: int, samples: "array[int]") -> bytes:
    """The PCMU (0) or PCMA (8) payload of 16-bit samples."""
    return bytes(map(_ENCODE[payload_type].__getitem__, array("H", samples.tobytes())))
