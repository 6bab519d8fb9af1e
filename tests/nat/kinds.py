"""The kinds of sites, and the nftables rules that make a Linux router each kind of NAT (RFC 4787 terms).

`masquerade fully-random` maps the first packet of a flow; a chain just after source NAT learns that mapping, and later flows
of the same inner port are given it again: endpoint-independent mapping. Incoming packets are led back through the learnt map,
gated by what was sent before: filtering. New packets from outside must not reach the router itself, else the kernel would
keep an entry for them, and a cone NAT would turn symmetric when both sides open at once.
"""

import enum

MAPPING_SECONDS = 60


class Kind(enum.Enum):
    """What a site is to the rest of the internet."""

    PUBLIC = "public host"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    CARRIER_GRADE = "symmetric behind carrier-grade"
    UDP_BLOCKED = "UDP blocked"
    NO_HAIRPIN = "no hairpin"
    IPV6_ONLY = "IPv6 only"
    DUAL_STACK = "dual stack"

    @property
    def has_ipv4(self) -> bool:
        """Whether its hosts have an IPv4 address."""
        return self is not Kind.IPV6_ONLY

    @property
    def has_ipv6(self) -> bool:
        """Whether its hosts have a global IPv6 address (behind a stateful firewall)."""
        return self in (Kind.IPV6_ONLY, Kind.DUAL_STACK)


# What must have been sent before from a mapping so that a packet may come in to it.
_SENT_BEFORE = {
    Kind.FULL_CONE: ("", "", ""),
    Kind.ADDRESS_RESTRICTED: ("inet_service . ipv4_addr", "udp dport . ip saddr", "udp sport . ip daddr"),
    Kind.PORT_RESTRICTED: (
        "inet_service . ipv4_addr . inet_service",
        "udp dport . ip saddr . udp sport",
        "udp sport . ip daddr . udp dport",
    ),
}

_IPV6_FIREWALL = """
table ip6 firewall {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan" accept
        meta l4proto ipv6-icmp accept
    }
}
"""

_SYMMETRIC = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade fully-random
    }
    chain input {
        type filter hook input priority filter;
        iifname "wan" ct state new drop
    }
    chain forward {
        type filter hook forward priority filter;
        iifname "wan" ct state new drop
    }
}
"""

_ONLY_HTTPS = """
table ip fence {
    chain forward {
        type filter hook forward priority filter + 1; policy drop;
        ct state established,related accept
        iifname "lan" tcp dport 443 accept
    }
}
"""


_CONE = """
table ip nat {{
    map mapping {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; {timed}; }}
    map owner {{ type inet_service : ipv4_addr . inet_service; {timed}; }}
    {sent_set}
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        iifname "wan" meta l4proto udp {gate} dnat ip to udp dport map @owner
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname "wan" meta l4proto udp snat ip to ip saddr . udp sport map @mapping
        oifname "wan" masquerade fully-random
    }}
    chain learn {{
        type filter hook postrouting priority srcnat + 10;
        ip saddr {outer} meta l4proto udp ct direction original goto learn_opened
        ip saddr {outer} meta l4proto udp ct direction reply goto learn_answered
    }}
    chain learn_opened {{
        meta l4proto udp update @mapping {{ ct original ip saddr . ct original proto-src : ip saddr . udp sport }}
        meta l4proto udp update @owner {{ udp sport : ct original ip saddr . ct original proto-src }}
        {note}
    }}
    chain learn_answered {{
        meta l4proto udp update @mapping {{ ct reply ip saddr . ct reply proto-src : ip saddr . udp sport }}
        meta l4proto udp update @owner {{ udp sport : ct reply ip saddr . ct reply proto-src }}
        {note}
    }}
    chain input {{
        type filter hook input priority filter;
        iifname "wan" ct state new drop
        ip daddr {outer} drop
    }}
    chain forward {{
        type filter hook forward priority filter;
        iifname "wan" ct state new ct status & dnat == 0 drop
    }}
}}
"""

# A host that sends to the outer address of its own NAT is led to the host behind it, and seen there from outside.
_HAIRPIN = """
table ip nat {{
    chain hairpin_in {{
        type nat hook prerouting priority dstnat;
        iifname "lan" ip daddr {outer} meta l4proto udp dnat ip to udp dport map @owner
    }}
    chain hairpin_out {{
        type nat hook postrouting priority srcnat;
        iifname "lan" oifname "lan" ct original ip daddr {outer} meta l4proto udp snat ip to ip saddr . udp sport map @mapping
        iifname "lan" oifname "lan" ct original ip daddr {outer} meta l4proto udp snat ip to {outer} fully-random
    }}
}}
"""


def nat_rules(kind: Kind, outer: str, *, mapping_seconds: int = MAPPING_SECONDS) -> str:
    """The rules of a site's router, whose outer IPv4 address is `outer` (empty without IPv4)."""
    firewall = _IPV6_FIREWALL if kind.has_ipv6 else ""
    if kind is Kind.IPV6_ONLY:
        return firewall
    if kind in (Kind.SYMMETRIC, Kind.CARRIER_GRADE, Kind.DUAL_STACK):
        return _SYMMETRIC + firewall
    if kind is Kind.UDP_BLOCKED:
        return _SYMMETRIC + _ONLY_HTTPS
    hairpin = kind is not Kind.NO_HAIRPIN
    gate = Kind.PORT_RESTRICTED if kind is Kind.NO_HAIRPIN else kind
    return _cone(gate, outer, hairpin=hairpin, mapping_seconds=mapping_seconds)


def _cone(kind: Kind, outer: str, *, hairpin: bool, mapping_seconds: int) -> str:
    columns, incoming, outgoing = _SENT_BEFORE[kind]
    timed = f"flags dynamic,timeout; timeout {mapping_seconds}s; size 65535"
    sent_set = f"set sent {{ type {columns}; {timed}; }}" if columns else ""
    gate = f"{incoming} @sent" if columns else ""
    note = f"meta l4proto udp update @sent {{ {outgoing} }}" if columns else ""
    rules = _CONE.format(outer=outer, timed=timed, sent_set=sent_set, gate=gate, note=note)
    return rules + (_HAIRPIN.format(outer=outer) if hairpin else "")
