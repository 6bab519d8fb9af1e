"""The laboratory: an internet, and sites behind kernel NATs on it, each in network namespaces of its own.

    internet (router, one link to each border) --- border (NAT and firewall) --- hosts (lan: 192.168.1.0/24)
                                               \\-- carrier (NAT) --- border (100.64.0.0/10) --- hosts
                                               \\-- public host

The addresses are ones that Python's `ipaddress` calls global, one network for each site, because nodes treat documentation
ranges as private; nothing leaves the namespaces. All homes use the same private range, as homes do.
"""

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from tests.nat.delay import DelayRouter
from tests.nat.kinds import MAPPING_SECONDS, Kind, nat_rules
from tests.nat.namespaces import (
    ROUTER_SETTINGS,
    Namespace,
    make_namespaces,
    random_prefix,
    remove_namespaces,
    root_ip,
)

Result = TypeVar("Result")

SITES_MAX = 100
HOSTS_MAX = 4
LAN_ROUTER = "192.168.1.1"
MOVED = 77  # the last part of an address after a move
TIMEOUTS = ("net/netfilter/nf_conntrack_udp_timeout", "net/netfilter/nf_conntrack_udp_timeout_stream")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site shall be. `mapping_seconds` is the time-out of UDP mappings of a cone NAT."""

    name: str
    kind: Kind
    hosts: int = 1
    mapping_seconds: int = MAPPING_SECONDS


@dataclass(slots=True)
class Site:
    """A site that stands: its namespaces and addresses."""

    plan: Plan
    number: int
    hosts: list[Namespace]
    border: Namespace | None = None
    carrier: Namespace | None = None
    links: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What it is to the rest of the internet."""
        return self.plan.kind

    @property
    def name(self) -> str:
        """Its name in this laboratory."""
        return self.plan.name

    @property
    def outer_ipv4(self) -> str:
        """The public IPv4 address of the site."""
        return f"11.{self.number}.0.2"

    @property
    def ipv4(self) -> str:
        """The IPv4 address of the first host."""
        return self.host_ipv4(0)

    @property
    def ipv6(self) -> str:
        """The IPv6 address of the first host."""
        return self.host_ipv6(0)

    def host_ipv4(self, index: int) -> str:
        """The IPv4 address that a host itself has."""
        return self.outer_ipv4 if self.kind is Kind.PUBLIC else f"192.168.1.{10 + index}"

    def host_ipv6(self, index: int) -> str:
        """The IPv6 address of a host."""
        net = "" if self.border is None else "0:1:"
        return f"2a11:{self.number:x}:{net}:{2 + index}"

    @property
    def prefix(self) -> list[str]:
        """What to put before a command so that it runs at the first host."""
        return self.hosts[0].prefix

    def run(self, function: Callable[[], Result]) -> Result:
        """Run `function` in a thread at the first host."""
        return self.hosts[0].run(function)

    def socket(
        self, family: socket.AddressFamily = socket.AF_INET, kind: socket.SocketKind = socket.SOCK_DGRAM, host: int = 0
    ) -> socket.socket:
        """A socket at a host, bound to any port of all its addresses."""
        sock = self.hosts[host].socket(family, kind)
        sock.bind(("::" if family is socket.AF_INET6 else "0.0.0.0", 0))
        return sock

    def move(self, index: int = 0) -> None:
        """Give a host other addresses, as a new lease does: what was bound to the old ones is cut off at once."""
        lines = []
        for host in [self.host_ipv4(index)] if self.kind.has_ipv4 else []:
            router = f"11.{self.number}.0.1" if self.border is None else LAN_ROUTER
            lines += _replace(f"{host}/24", f"{host.rpartition('.')[0]}.{MOVED + index}/24", router)
        for host in [self.host_ipv6(index)] if self.kind.has_ipv6 or self.border is None else []:
            net = host.rpartition("::")[0]
            lines += _replace(f"{host}/64", f"{net}::{MOVED + index}/64", f"{net}::1")
        self.hosts[index].ip(lines)

    def namespaces(self) -> list[Namespace]:
        """All of its namespaces."""
        return [*self.hosts, *(each for each in (self.border, self.carrier) if each is not None)]


class Lab:
    """All sites of one laboratory; a context manager that removes everything at the end."""

    def __init__(self, plans: Sequence[Plan], *, one_way_seconds: float = 0.0, loss: float = 0.0) -> None:
        if len(plans) > SITES_MAX or any(not 1 <= plan.hosts <= HOSTS_MAX for plan in plans):
            raise ValueError(f"at most {SITES_MAX} sites of at most {HOSTS_MAX} hosts")
        self.prefix = random_prefix()
        self.sites: dict[str, Site] = {}
        self._plans = plans
        self._namespaces: dict[str, Namespace] = {}
        self._delay = (one_way_seconds, loss)
        self.delay_router: DelayRouter | None = None

    @property
    def internet(self) -> Namespace:
        """The router in the middle."""
        return self._namespaces[self._full("internet")]

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def __enter__(self) -> "Lab":
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs inside, and remove every namespace."""
        if self.delay_router is not None:
            self.delay_router.close()
            self.delay_router = None
        for namespace in self._namespaces.values():
            namespace.kill_processes()
        remove_namespaces(self._namespaces)
        self._namespaces = {}

    def _full(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def _build(self) -> None:
        names = ["internet", *(name for plan in self._plans for name in _namespace_names(plan))]
        self._namespaces = make_namespaces(self._full(name) for name in names)
        for number, plan in enumerate(self._plans, 1):
            self.sites[plan.name] = self._site(number, plan)
        root_ip(line for site in self.sites.values() for line in self._links(site))
        routers = [each for site in self.sites.values() for each in (site.border, site.carrier) if each is not None]
        self.internet.configure(ROUTER_SETTINGS)
        for router in routers:
            router.configure(ROUTER_SETTINGS)
        self.internet.ip(line for site in self.sites.values() for line in _internet_lines(site))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_set_up, self.sites.values()))
        one_way, loss = self._delay
        if one_way or loss:
            self.delay_router = DelayRouter(self.internet, one_way, loss)

    def _site(self, number: int, plan: Plan) -> Site:
        hosts = [self._namespaces[self._full(_host_name(plan, index))] for index in range(plan.hosts)]
        border = self._namespaces.get(self._full(f"{plan.name}-border"))
        return Site(plan, number, hosts, border, self._namespaces.get(self._full(f"{plan.name}-carrier")))

    def _links(self, site: Site) -> list[str]:
        """One link from the internet inwards to each router, and one from the border to each host."""
        chain = [each for each in (site.carrier, site.border) if each is not None] or [site.hosts[0]]
        lines = [_link(self.internet, f"site{site.number}", chain[0], "wan")]
        if site.carrier is not None and site.border is not None:
            lines.append(_link(site.carrier, "lan", site.border, "wan"))
        if site.border is not None:
            lines += [_link(site.border, f"host{index}", host, "wan") for index, host in enumerate(site.hosts)]
        return lines


def _replace(old: str, new: str, router: str) -> list[str]:
    return [f"address del {old} dev wan", f"address add {new} dev wan", f"route replace default via {router}"]


def _namespace_names(plan: Plan) -> list[str]:
    names = [_host_name(plan, index) for index in range(plan.hosts)]
    if plan.kind is not Kind.PUBLIC:
        names.append(f"{plan.name}-border")
    if plan.kind is Kind.CARRIER_GRADE:
        names.append(f"{plan.name}-carrier")
    return names


def _host_name(plan: Plan, index: int) -> str:
    return f"{plan.name}-{index}"


def _link(one: Namespace, one_name: str, other: Namespace, other_name: str) -> str:
    return f"link add {one_name} netns {one.name} type veth peer name {other_name} netns {other.name}"


def _internet_lines(site: Site) -> list[str]:
    number, link = site.number, f"site{site.number}"
    return [
        f"link set {link} up",
        f"address add 11.{number}.0.1/24 dev {link}",
        f"address add 2a11:{number:x}::1/64 dev {link} nodad",
        f"route add 2a11:{number:x}:0:1::/64 via 2a11:{number:x}::2",
    ]


def _outer_lines(site: Site) -> list[str]:
    """Addresses and routes of the namespace that is linked with the internet."""
    number, kind = site.number, site.kind
    lines = ["link set wan up"]
    if kind.has_ipv4:
        lines += [f"address add {site.outer_ipv4}/24 dev wan", f"route add default via 11.{number}.0.1"]
    if kind.has_ipv6 or kind is Kind.PUBLIC:
        lines += [f"address add 2a11:{number:x}::2/64 dev wan nodad", f"route add default via 2a11:{number:x}::1"]
    return lines


def _set_up(site: Site) -> None:
    if site.border is None:
        site.hosts[0].ip(_outer_lines(site))
        return
    _set_up_border(site, site.border)
    for index, host in enumerate(site.hosts):
        lines = ["link set wan up"]
        if site.kind.has_ipv4:
            lines += [f"address add {site.host_ipv4(index)}/24 dev wan", f"route add default via {LAN_ROUTER}"]
        if site.kind.has_ipv6:
            net = f"2a11:{site.number:x}:0:1::"
            lines += [f"address add {site.host_ipv6(index)}/64 dev wan nodad", f"route add default via {net}1"]
        host.ip(lines)


def _set_up_border(site: Site, border: Namespace) -> None:
    outer = site.outer_ipv4
    if site.carrier is not None:
        outer = f"100.64.{site.number}.2"
        inner = f"100.64.{site.number}.1"
        site.carrier.ip([*_outer_lines(site), "link set lan up", f"address add {inner}/24 dev lan"])
        site.carrier.nft(nat_rules(site.kind, site.outer_ipv4))
        lines = ["link set wan up", f"address add {outer}/24 dev wan", f"route add default via {inner}"]
    else:
        lines = _outer_lines(site)
    lines += ["link add lan type bridge", "link set lan up"]
    for index in range(len(site.hosts)):
        lines += [f"link set host{index} master lan", f"link set host{index} up"]
    if site.kind.has_ipv4:
        lines.append(f"address add {LAN_ROUTER}/24 dev lan")
    if site.kind.has_ipv6:
        lines.append(f"address add 2a11:{site.number:x}:0:1::1/64 dev lan nodad")
    border.ip(lines)
    border.configure(dict.fromkeys(TIMEOUTS, str(site.plan.mapping_seconds)))
    border.nft(nat_rules(site.kind, outer, mapping_seconds=site.plan.mapping_seconds))
