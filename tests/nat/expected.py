"""Which pairs of sites can speak directly, by theory: what kernel NATs let through, and not what our code can do."""

from tests.nat.kinds import Kind

# A new mapping for each destination: the other side cannot know it before a packet has come from it.
SYMMETRIC = frozenset({Kind.SYMMETRIC, Kind.CARRIER_GRADE, Kind.DUAL_STACK})
# They let in only what comes from an address and port that was sent to: never from a mapping that cannot be known.
STRICT = SYMMETRIC | {Kind.PORT_RESTRICTED, Kind.NO_HAIRPIN}
IPV6 = frozenset({Kind.PUBLIC, Kind.IPV6_ONLY, Kind.DUAL_STACK})


def can_be_direct(one: Kind, other: Kind) -> bool:
    """Whether two sites of these kinds can exchange UDP packets without a relay, if both try at once.

    Over IPv6 stateful firewalls are in the way only, and both sides open theirs. A symmetric NAT reaches a public host, a full
    cone and an address-restricted one, which learn its port from its packets (peer-reflexive, RFC 8445 §7.3.1.3).
    """
    if Kind.UDP_BLOCKED in (one, other):
        return False
    if one in IPV6 and other in IPV6:
        return True
    if not (one.has_ipv4 and other.has_ipv4):
        return False
    return not (one in SYMMETRIC and other in STRICT) and not (other in SYMMETRIC and one in STRICT)
