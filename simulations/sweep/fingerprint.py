"""Which code a run was made with: a digest of every source file that a run may execute.

A commit would be too coarse (a change of the documents would make every finished point stale) and too fine (changes that are
not committed would not be seen). Left out is what runs only before or after a run: reports, sweeps, the command line.
"""

import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import simulations

PACKAGES = ("bootstrap", "media", "overlay", "p2psip", "simulations")
LEFT_OUT = ("p2psip/app", "simulations/report", "simulations/sweep", "simulations/referee")
FINGERPRINT_DIGITS = 16


@cache
def code_fingerprint() -> str:
    """The digest of the code that is installed here, as hexadecimal digits."""
    return fingerprint_of(Path(simulations.__path__[0]).parent)


def fingerprint_of(root: Path) -> str:
    """The digest of the packages below `root`, and of the Python version (its `random` could change)."""
    digest = hashlib.sha256(f"{sys.version_info.major}.{sys.version_info.minor}".encode())
    for path in _sources(root):
        name = path.relative_to(root).as_posix()
        if not name.startswith(LEFT_OUT):
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def _sources(root: Path) -> Iterable[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))
