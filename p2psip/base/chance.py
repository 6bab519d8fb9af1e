"""The only place that draws randomness. A `Chance` is handed from parent to child, so that one seed fixes a run."""

import hashlib
import random
import secrets
from collections.abc import Callable, MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A named stream of randomness: the system's (keys, tokens) or a seeded one (simulation, tests).

    The generator of a seeded one takes 2.5 KB and is made at the first draw: most streams of most nodes are never drawn from.
    """

    __slots__ = ("_seed", "_source")

    def __init__(self, source: random.Random | None, seed: bytes | None) -> None:
        self._source = source
        self._seed = seed

    @property
    def _random(self) -> random.Random:
        source = self._source
        if source is None:
            source = self._source = random.Random(hashlib.sha256(self._seed or b"").digest())
        return source

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
        return self._random.getrandbits(8 * count).to_bytes(count, "big") if count else b""

    def token(self, count: int) -> str:
        """`count` random bytes as 2 * `count` hexadecimal digits."""
        return self.bytes(count).hex()

    def integer(self, bits: int) -> int:
        """A whole number in [0, 2**bits)."""
        return self._random.getrandbits(bits)

    @property
    def real(self) -> Callable[[], float]:
        """A function that draws a real number in [0, 1): bind it once where many are drawn."""
        return self._random.random

    def uniform(self, low: float, high: float) -> float:
        """A real number in [low, high]."""
        return self._random.uniform(low, high)

    def choice(self, values: Sequence[T]) -> T:
        """One of `values`, which must not be empty."""
        return self._random.choice(values)

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different members of `values` in random order."""
        return self._random.sample(values, count)

    def shuffle(self, values: MutableSequence[T]) -> None:
        """Shuffle in place."""
        if len(values) > 1:
            self._random.shuffle(values)
