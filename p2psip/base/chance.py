"""The only place that draws randomness. A `Chance` is handed from parent to child, so that one seed fixes a run."""

import hashlib
import random
import secrets
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")

HASHED_DRAWS_MAX = 1_000
_REAL_BITS = 53


class Chance:
    """A named stream of randomness: the system's (keys, tokens) or a seeded one (simulation, tests).

    The generator of a seeded one takes 2.5 KB, and most streams of most nodes are drawn from a few times only: so the first
    HASHED_DRAWS_MAX draws are hashes of the seed and their number (SHAKE-128, FIPS 202), and the generator is made after them.
    """

    __slots__ = ("_drawn", "_seed", "_source")

    def __init__(self, source: random.Random | None, seed: bytes | None) -> None:
        self._source = source
        self._seed = seed
        self._drawn = 0

    @classmethod
    def system(cls) -> "Chance":
        """Randomness fit for keys, from the operating system."""
        return cls(secrets.SystemRandom(), None)

    @classmethod
    def seeded(cls, seed: int | bytes) -> "Chance":
        """A reproducible stream; never for keys of a real node."""
        raw = seed if isinstance(seed, bytes) else str(seed).encode()
        return cls(None, raw)

    def child(self, name: str) -> "Chance":
        """An independent stream for the component `name`; a seeded parent gives the same child each time."""
        if self._seed is None:
            return self
        return Chance.seeded(hashlib.sha256(self._seed + b"/" + name.encode()).digest())

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return self.integer(8 * count).to_bytes(count, "big") if count else b""

    def token(self, count: int) -> str:
        """`count` random bytes as 2 * `count` hexadecimal digits."""
        return self.bytes(count).hex()

    def integer(self, bits: int) -> int:
        """A whole number in [0, 2**bits)."""
        if self._source is not None:
            return self._source.getrandbits(bits)
        self._drawn = number = self._drawn + 1
        if number > HASHED_DRAWS_MAX:
            return self._generator().getrandbits(bits)
        count = (bits + 7) // 8
        drawn = hashlib.shake_128((self._seed or b"") + number.to_bytes(4, "big")).digest(count)
        return int.from_bytes(drawn, "big") >> 8 * count - bits

    def real(self) -> float:
        """A real number in [0, 1), from the generator: for streams that many are drawn from."""
        return self._generator().random()

    def uniform(self, low: float, high: float) -> float:
        """A real number in [low, high]."""
        return low + (high - low) * self.integer(_REAL_BITS) / (1 << _REAL_BITS)

    def choice(self, values: Sequence[T]) -> T:
        """One of `values`, which must not be empty."""
        return values[self._below(len(values))]

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different members of `values` in random order."""
        if self._source is not None:
            return self._source.sample(values, count)
        left = list(values)
        return [left.pop(self._below(len(left))) for _ in range(count)]

    def shuffle(self, values: MutableSequence[T]) -> None:
        """Shuffle in place."""
        for last in range(len(values) - 1, 0, -1):
            other = self._below(last + 1)
            values[last], values[other] = values[other], values[last]

    def _below(self, end: int) -> int:
        """A whole number in [0, end), all equally likely: what is too large is drawn again. IndexError if there is none."""
        if end < 1:
            raise IndexError("nothing to choose from")
        bits = end.bit_length()
        while (number := self.integer(bits)) >= end:
            pass
        return number

    def _generator(self) -> random.Random:
        if self._source is None:
            self._source = random.Random(hashlib.sha256(self._seed or b"").digest())
        return self._source
