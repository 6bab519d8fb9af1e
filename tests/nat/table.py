"""`python -m tests.nat.table` (as root): run the matrix and write it to docs/nat-matrix.md; or only some kinds, to the screen.

python -m tests.nat.table                    all kinds, written to the docs
python -m tests.nat.table PUBLIC FULL_CONE   these kinds, printed only
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from tests.nat.kinds import Kind
from tests.nat.matrix import as_table, run_matrix
from tests.nat.talk import Talk

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "nat-matrix.md"
HEAD = """# Calls through every NAT

Measured by `python -m tests.nat.table` (root): kernel NATs in network namespaces, a real node and a real baresip at each site.
Each cell is one call by name from the row's site to the column's: the path of the audio, and the milliseconds from the INVITE
to audio in both directions, without any network delay. A call counts when each phone's recording holds the other's tone.

"""


def main(names: list[str]) -> None:
    """Run, print, and write the document when all kinds took part."""
    kinds = [Kind[name] for name in names] or list(Kind)
    with tempfile.TemporaryDirectory() as folder:
        talks: list[Talk] = trio.run(partial(run_matrix, Path(folder), kinds))
    text = as_table(talks, kinds)
    print(text)
    for trouble in (trouble for talk in talks for trouble in talk.troubles()):
        print(trouble)
    if not names:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(f"{HEAD}{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
