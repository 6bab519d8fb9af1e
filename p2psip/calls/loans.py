"""A side of one call that another call uses after a transfer, until that one is over.

The call that made a side keeps what belongs to it (its dialog, its media end, a place on a trunk) and waits for it to come back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from p2psip.calls.sides import Side


@dataclass(slots=True, eq=False)
class Loan:
    """`side` is in another call until `returned` is set; `recall(status, words)` ends that call, when a trunk gives no more."""

    side: Side
    returned: trio.Event = field(default_factory=trio.Event)
    recall: Callable[[int, str], None] | None = None
