"""Whom the bootstrap server names to a newcomer."""

from collections.abc import Sequence

from bootstrap.messages import Introducer
from overlay.supernodes import SuperNode
from p2psip.base.chance import Chance
from p2psip.base.core import Address

INTRODUCED_MAX = 8
INTRODUCED_SUPERNODES_MAX = 5


def introduced(
    own: Introducer, supernodes: Sequence[SuperNode], peers: Sequence[tuple[bytes, Address]], chance: Chance
) -> list[Introducer]:
    """Whom a newcomer is told, INTRODUCED_MAX of them: us, then super-nodes with all their addresses, then other peers.

    Who has no UDP or no IPv4 comes in through super-nodes only; some places are kept for others, which take the load off them.
    Peers are drawn anew for each newcomer: the same few would carry all of them otherwise, a whole network after a power cut.
    """
    serving = [Introducer(each.node_key, each.addresses) for each in supernodes if not each.draining]
    told = {each.node_key for each in serving}
    others = [peer for peer in peers if peer[0] not in told]
    places = max(INTRODUCED_SUPERNODES_MAX, INTRODUCED_MAX - 1 - len(others))
    chosen = [own, *serving[:places]]
    left = max(0, INTRODUCED_MAX - len(chosen))
    drawn = chance.sample(others, min(left, len(others)))
    return [*chosen, *(Introducer(node_key, (address,)) for node_key, address in drawn)][:INTRODUCED_MAX]
