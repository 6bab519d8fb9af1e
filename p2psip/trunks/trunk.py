"""What a node knows of one provider: values only, checked before they come here."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from p2psip.sip.uri import SipUri

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NumberStyle = Literal["+e164", "e164", "00e164", "national"]
IdentityStyle = Literal["from", "asserted", "preferred"]


@dataclass(frozen=True, slots=True)
class Offer:
    """Members of the overlay who may call through a trunk, and how much each of them may."""

    members: frozenset[str] = frozenset()
    calls_max: int = 1
    calls_per_minute_max: int = 4
    minutes_per_day_max: int = 60


@dataclass(frozen=True, slots=True)
class Trunk:
    """One provider. `server` is where requests go (located by RFC 3263); `domain` stands in our From and To there.

    `user` is the account, and the user part of our Contact; without `password` no challenge is answered. `sources` are the networks
    that the provider calls from, beside where `server` is. `numbers` maps its numbers in E.164 to `user@overlay`, `default` takes
    all others. `caller_ids` maps a person or a phone's account to the numbers that it may show, the first of which it does show.
    """

    name: str
    server: SipUri
    domain: str
    user: str
    auth_user: str = ""
    password: str = field(default="", repr=False)
    registers: bool = True
    expires_seconds: int = 600
    host: str = "0.0.0.0"
    port: int = 0
    public_address: str | None = None
    sources: tuple[Network, ...] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    country: str = ""
    number_style: NumberStyle = "+e164"
    caller_id: str | None = None
    caller_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    identity: IdentityStyle = "from"
    codecs: tuple[str, ...] = ()
    calls_max: int = 4
    calls_per_minute_max: int = 20
    offer: Offer = Offer()
    health_seconds: int = 30
    answer_seconds: float = 4.0
    redirects_to: tuple[str, ...] = ()
