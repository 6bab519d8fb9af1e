"""Which hosts stand behind which box: shares of kinds of NAT, fitted to what measurements of peer-to-peer networks found.

No survey publishes mapping x filtering x lifetime x carrier for the same hosts, so the shares are ours, and chosen so that the
totals are those of the surveys (`tests/simulations/network/test_survey.py` holds them to it):

- 64 % of all peers are behind a NAT or firewall that allows hole punching, that is with endpoint-independent mapping (Halkes and
  Pouwelse, "UDP NAT and Firewall Puncturing in the Wild", NETWORKING 2011, in the Tribler network).
- 82 % of NATs allow UDP hole punching, so about as many map independently of the endpoint (Ford, Srisuresh and Kegel,
  "Peer-to-Peer Communication Across Network Address Translators", USENIX 2005, 310 of 380; RFC 5128). 24 % of them hairpin
  (ibid., table 1); both cited from memory.
- 70 % +- 7.1 % of hole punching attempts between two peers that need it succeed (Trautwein et al., "Challenging Tribal
  Knowledge", 2025, 4.4 million attempts of libp2p's DCUtR in 85 000 networks).
- 78 % of all WebRTC conferences need no relay (callstats.io on webrtcHacks, 2015 to 2016), 85 % of those of Twilio.
- Carrier-grade NATs stand before the home's own (Richter et al., "A Multi-perspective Analysis of Carrier-Grade NAT Deployment",
  IMC 2016); some of them are symmetric, and their ports cannot be foretold.
- The shortest UDP lifetime of 34 home gateways is 30 s (Hätönen et al., "An Experimental Study of Home Gateway Characteristics",
  IMC 2010); `LIFETIMES` lets a quarter of homes have it. RFC 4787 §4.3 asks for 120 s and recommends 300 s.
- Networks that block UDP are few: 2 % is an assumption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from p2psip.base.chance import Chance
from simulations.network import nat
from simulations.network.nat import NatKind, Ports, Rule

T = TypeVar("T")
VARIANTS_MAX = 256

LIFETIMES = ((30.0, 0.25), (65.0, 0.30), (120.0, 0.25), (300.0, 0.20))
"""Lifetimes of mappings in seconds, and their shares."""
HAIRPIN = 0.24
"""The share of NATs that hairpin."""

CARRIER = NatKind(
    "carrier",
    Rule.ENDPOINT_INDEPENDENT,
    Rule.ADDRESS_AND_PORT_DEPENDENT,
    lifetime=65.0,
    hairpin=True,  # RFC 6888 §3, REQ-1
    ports=Ports.RANDOM,
    mappings_max=nat.PORTS,
)
CARRIER_SYMMETRIC = replace(
    CARRIER, name="carrier-symmetric", mapping=Rule.ADDRESS_AND_PORT_DEPENDENT, hairpin=False, lifetime=30.0
)
CARRIER_GRADE = replace(nat.PORT_RESTRICTED, name="carrier-grade", before=CARRIER)
CARRIER_GRADE_SYMMETRIC = replace(nat.PORT_RESTRICTED, name="carrier-grade-symmetric", before=CARRIER_SYMMETRIC)
"""A port-restricted home NAT behind a carrier-grade one."""
HANDSET = NatKind("handset", before=CARRIER)
HANDSET_SYMMETRIC = NatKind("handset-symmetric", before=CARRIER_SYMMETRIC)
"""A host right behind a carrier-grade NAT, for scenarios that name it; in the shares it is counted with the homes."""

SHARES: tuple[tuple[NatKind, float], ...] = (
    (nat.PUBLIC, 0.18),
    (nat.FIREWALL, 0.04),
    (nat.FULL_CONE, 0.06),
    (nat.ADDRESS_RESTRICTED, 0.04),
    (nat.PORT_RESTRICTED, 0.42),
    (nat.SYMMETRIC, 0.10),
    (CARRIER_GRADE, 0.08),
    (CARRIER_GRADE_SYMMETRIC, 0.06),
    (nat.UDP_BLOCKED, 0.02),
)

KINDS = {kind.name: kind for kind in (*(kind for kind, _ in SHARES), HANDSET, HANDSET_SYMMETRIC)}
"""By name, for settings of scenarios."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Shares of kinds; each home NAT also draws its lifetime and whether it hairpins. Kinds that are equal are one object."""

    shares: tuple[tuple[NatKind, float], ...] = SHARES

    def draw(self, chance: Chance) -> NatKind:
        """The kind of box of one more host."""
        kind = _drawn(self.shares, chance.real())
        if kind.mapping is None:
            return kind
        lifetime = _drawn(LIFETIMES, chance.real())
        return _variant(kind, lifetime, chance.real() < HAIRPIN)


SURVEY = Survey()


@lru_cache(maxsize=VARIANTS_MAX)
def _variant(kind: NatKind, lifetime: float, hairpin: bool) -> NatKind:
    return replace(kind, lifetime=lifetime, hairpin=hairpin)


def _drawn(shares: Sequence[tuple[T, float]], value: float) -> T:
    for what, share in shares:
        value -= share
        if value < 0.0:
            return what
    return shares[-1][0]
