"""The messages of RFC 4475, read from `torture/`."""

from pathlib import Path

CORPUS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "torture").glob("*.dat"))}
