"""The order of SRV records: by priority, and drawn by weight among equal priorities (RFC 2782)."""

from collections.abc import Sequence

from p2psip.base.chance import Chance
from p2psip.naming.questions import Srv

RECORDS_MAX = 32


def ordered_srvs(records: Sequence[Srv], chance: Chance) -> list[Srv]:
    """The records in the order in which they are tried; RECORDS_MAX at most.

    Within a priority each place goes to one that is drawn, in proportion to its weight. Those of weight 0 stand first in
    line, so that they are drawn hardly ever while there are others, and equally where there are none.
    """
    ordered: list[Srv] = []
    kept = sorted(records, key=lambda record: (record.priority, record.weight, record.target, record.port))[
        :RECORDS_MAX
    ]
    for priority in sorted({record.priority for record in kept}):
        waiting = [record for record in kept if record.priority == priority]
        chance.shuffle(waiting)
        waiting.sort(key=lambda record: record.weight > 0)
        while waiting:
            ordered.append(waiting.pop(_drawn([record.weight for record in waiting], chance)))
    return ordered


def is_absent(records: Sequence[Srv]) -> bool:
    """Whether the domain says that there is decidedly no such service: one record with the root as its target."""
    return len(records) == 1 and records[0].target == ""


def _drawn(weights: list[int], chance: Chance) -> int:
    total = sum(weights)
    if total == 0:
        return chance.choice(range(len(weights)))
    number = chance.choice(range(total + 1))
    for place, weight in enumerate(weights):
        number -= weight
        if number <= 0:
            return place
    return len(weights) - 1
