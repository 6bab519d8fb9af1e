"""Node keys ground out until their Node-IDs lie next to a key: what a Sybil attack costs, done for real.

A Node-ID is a hash of the node key, so whoever wants one near a key must try keys: 2^bits of them for each that shares `bits`
leading bits with the target. `cryptography` makes a key in some 40 µs. An attacker would walk instead: from a point P, all of
P + i·8B on the Edwards curve (RFC 7748 §4.1, RFC 8032 §5.1) are public keys whose private keys are known (the scalar plus 8·i
stays clamped, RFC 7748 §5), one addition in affine coordinates each, inverted a batch at a time (Montgomery's trick). That
costs some 4 µs in plain Python, and the keys are as good as any: real X25519 pairs that the authority certifies.
"""

import hashlib
import math
from collections.abc import Iterator
from functools import cache

from p2psip.base.chance import Chance
from p2psip.base.errors import LocalError
from p2psip.base.keys import KEY_BYTES, NodeKey

BITS_MAX = 24
BATCH = 256
STEP = 8
CLOSER_BITS = 4
"""So many bits beyond log2 of the number of nodes, and one in 2^CLOSER_BITS targets has any honest node as close."""

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)

_Point = tuple[int, int]


def bits_for(nodes: int) -> int:
    """How many leading bits must be shared with a key to be closer than (nearly) all of so many honest nodes."""
    return math.ceil(math.log2(max(2, nodes))) + CLOSER_BITS


def grind(target: bytes, count: int, bits: int, chance: Chance) -> list[NodeKey]:
    """`count` node keys whose Node-IDs share the first `bits` bits with `target`; LocalError over BITS_MAX bits.

    It tries count · 2^bits keys on average, at some 4 µs each.
    """
    if bits > BITS_MAX:
        raise LocalError(f"{bits} bits are more than {BITS_MAX}, and would take all day")
    wanted, shift = int.from_bytes(target[:8], "big") >> (64 - bits), 64 - bits
    found: list[NodeKey] = []
    for scalar, public in _walk(chance):
        if int.from_bytes(hashlib.sha256(public).digest()[:8], "big") >> shift == wanted:
            found.append(NodeKey(scalar.to_bytes(KEY_BYTES, "little")))
            if len(found) == count:
                break
    return found[:count]


def _walk(chance: Chance) -> Iterator[tuple[int, bytes]]:
    """Key pairs without end: (private scalar, public key)."""
    low = chance.integer(250) & ~7
    scalar = (1 << 254) | low
    here, steps = _multiply(scalar, _BASE), _steps()
    while True:
        for index, public in enumerate(_publics(here, steps), start=1):
            yield scalar + STEP * index, public
        scalar += STEP * BATCH
        here = _add(here, steps[-1])


def _publics(here: _Point, steps: tuple[_Point, ...]) -> list[bytes]:
    """The u-coordinates of here + each step: u = (1 + y) / (1 - y), with one inversion for all."""
    x1, y1 = here
    above, below, products, product = [], [], [], 1
    for x2, y2 in steps:
        xx, yy = x1 * x2 % _P, y1 * y2 % _P
        numerator, denominator = xx + yy, 1 - _D * xx % _P * yy
        above.append(denominator + numerator)
        below.append(denominator - numerator)
        products.append(product)
        product = product * below[-1] % _P
    inverse = pow(product, -1, _P)
    keys = []
    for index in range(len(steps) - 1, -1, -1):
        keys.append((above[index] * (inverse * products[index] % _P) % _P).to_bytes(KEY_BYTES, "little"))
        inverse = inverse * below[index] % _P
    keys.reverse()
    return keys


@cache
def _steps() -> tuple[_Point, ...]:
    """8B, 16B and so on, BATCH of them."""
    step = _multiply(STEP, _BASE)
    steps = [step]
    while len(steps) < BATCH:
        steps.append(_add(steps[-1], step))
    return tuple(steps)


def _add(one: _Point, other: _Point) -> _Point:
    """The sum of two points of edwards25519 in affine coordinates (complete for all points, RFC 8032 §5.1.4)."""
    (x1, y1), (x2, y2) = one, other
    product = _D * x1 * x2 * y1 * y2 % _P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + product, -1, _P) % _P
    y3 = (y1 * y2 + x1 * x2) * pow(1 - product, -1, _P) % _P
    return x3, y3


def _multiply(scalar: int, point: _Point) -> _Point:
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result
