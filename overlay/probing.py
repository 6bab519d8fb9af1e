"""The tester's side of dial-back: letting an asker be probed, and probing on behalf of another member.

    DIAL_BACK   [8 bytes token, hosts to avoid, certificate]               -> [packed hosts of probers, from my other port too?]
    PROBE_FOR   [8 bytes token, node key, packed host, port, certificate]  -> nil
    PROBE       7 | 8 bytes token                                          a payload that nobody answers

This is RFC 5780's CHANGE-REQUEST (§7.2) without a server of two addresses: another member of the overlay is the other address, and
a socket of its own the other port.

**Nothing can be aimed at a third party.** A tester acts only for a member that has proved (by its write token) that it
receives where it asks from, and names that very address; no claimed one is ever looked at. A prober acts only for members,
within a budget for each and for all, never towards private hosts for somebody outside, and its probes are shorter than the
request. A probe is sealed for the asker's key: to everybody else it is noise of 74 bytes.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from overlay.buckets import RoutingTable
from overlay.budget import Budget
from overlay.contact import Contact, is_disguised, network_of, pack_host, unpack_host
from overlay.holder import Asking
from overlay.members import Members
from overlay.reachability import PROBERS_MAX
from overlay.rpc import PROBE, PROBE_FOR, UNAUTHORIZED, Answer
from overlay.searches import Asker
from p2psip.base.chance import Chance
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES

TOKEN_BYTES = 8
AVOIDED_MAX = 16
PROBES_EACH = 2
CHOSEN_FROM_MAX = 16
TESTS_PER_SECOND_MAX = 50
TESTS_PER_NODE_PER_SECOND_MAX = 3
ASKERS_MAX = 1_024

Send = Callable[[bytes, Address, bytes], None]
"""Sends a payload to a node key at an address."""


class Allowance:
    """TESTS_PER_SECOND_MAX tests for all, TESTS_PER_NODE_PER_SECOND_MAX for each of the ASKERS_MAX nodes that asked last."""

    __slots__ = ("_each", "_total")

    def __init__(self) -> None:
        self._total = Budget(TESTS_PER_SECOND_MAX)
        self._each: OrderedDict[bytes, Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._each)

    def spend(self, node_key: bytes, now: float) -> None:
        """RemoteError(503) when this node asks too often."""
        budget = self._each.setdefault(node_key, Budget(TESTS_PER_NODE_PER_SECOND_MAX))
        self._each.move_to_end(node_key)
        if len(self._each) > ASKERS_MAX:
            self._each.popitem(last=False)
        if not budget.spend(now):
            raise RemoteError("too many tests in a second", status=503)

    def spend_total(self, now: float) -> None:
        """RemoteError(503) when all members together ask too often; strangers have no part in it."""
        if not self._total.spend(now):
            raise RemoteError("too many tests in a second", status=503)


class Prober:
    """Serves DIAL_BACK and PROBE_FOR. `send` sends from our port, `send_elsewhere` from another."""

    __slots__ = (
        "_ask", "_asked", "_certificate", "_chance", "_members", "_probing", "_send", "_send_elsewhere", "_table"
    )  # fmt: skip

    def __init__(
        self,
        table: RoutingTable,
        members: Members,
        *,
        certificate: Callable[[], bytes],
        ask: Asker,
        send: Send,
        send_elsewhere: Send,
        chance: Chance,
    ) -> None:
        self._table = table
        self._members = members
        self._certificate = certificate
        self._ask = ask
        self._send = send
        self._send_elsewhere = send_elsewhere
        self._chance = chance
        self._asked, self._probing = Allowance(), Allowance()

    def dial_back(self, asking: Asking, arguments: list[Any]) -> list[Any]:
        """DIAL_BACK: choose probers, ask them, and probe from another port ourselves."""
        match arguments:
            case [bytes() as token, list() as avoided, bytes() as certificate, *_] if len(token) == TOKEN_BYTES:
                pass
            case _:
                raise RemoteError("a wish to be probed of an unknown form")
        self._check(asking, certificate, self._asked)
        avoid = {unpack_host(host) for host in avoided[:AVOIDED_MAX]} | {asking.source[0]}
        probers = self._choose(asking.source[0], avoid)
        where = [token, asking.node_key, pack_host(asking.source[0]), asking.source[1], self._certificate()]
        for contact in probers:
            self._ask_prober(contact, where, asking.now)
        for _ in range(PROBES_EACH):
            self._send_elsewhere(asking.node_key, asking.source, bytes((PROBE,)) + token)
        return [[pack_host(contact.address[0]) for contact in probers], True]

    def probe_for(self, asking: Asking, arguments: list[Any]) -> None:
        """PROBE_FOR: send probes to a node at the address where the asker sees it."""
        match arguments:
            case [
                bytes() as token,
                bytes() as node_key,
                packed,
                int() as port,
                bytes() as certificate,
                *_,
            ] if len(token) == TOKEN_BYTES and len(node_key) == KEY_BYTES and 0 < port < 65_536:
                host = unpack_host(packed)
            case _:
                raise RemoteError("a wish to probe of an unknown form")
        self._check(asking, certificate, self._probing)
        if not may_probe(host, asking.source[0]):
            raise RemoteError("no probes are sent there", status=403)
        for _ in range(PROBES_EACH):
            self._send(node_key, (host, port), bytes((PROBE,)) + token)

    def _check(self, asking: Asking, certificate: bytes, allowance: Allowance) -> None:
        if not asking.is_proved:
            raise RemoteError("a test without a valid write token", status=UNAUTHORIZED)
        if is_synthetic(asking.source[0]):
            raise RemoteError("a test over a relay or a stream says nothing")
        allowance.spend(asking.node_key, asking.now)
        if self._members.certificate_of(asking.node_key, asking.unix) is None:  # noqa: SIM102
            if self._members.learn(asking.node_key, certificate, asking.unix) is None:
                raise RemoteError("only members are tested", status=403)
        allowance.spend_total(asking.now)

    def _choose(self, target: str, avoid: set[str]) -> list[Contact]:
        """Up to PROBERS_MAX peers at different hosts, by chance among those that were heard from last."""
        fit = [contact for contact in self._table if not contact.failures and is_like(contact.address[0], target)]
        fit.sort(key=lambda contact: contact.last_seen, reverse=True)
        by_host = {contact.address[0]: contact for contact in reversed(fit) if contact.address[0] not in avoid}
        latest = list(by_host.values())[-CHOSEN_FROM_MAX:]
        return self._chance.sample(latest, min(PROBERS_MAX, len(latest)))

    def _ask_prober(self, prober: Contact, where: list[Any], now: float) -> None:
        """Once more if it takes our write token no longer and sends a new one."""

        def answered(contact: Contact, answer: Answer | None) -> None:
            if answer is not None and answer.status == UNAUTHORIZED and answer.token:
                self._ask(contact, PROBE_FOR, where, _ignore, now)

        self._ask(prober, PROBE_FOR, where, answered, now)


def is_like(host: str, other: str) -> bool:
    """Whether two hosts are of one family, and both public or both private: then one may test the other."""
    same_family = (":" in host) == (":" in other)
    return same_family and not is_synthetic(host) and (network_of(host) is None) == (network_of(other) is None)


def may_probe(target: str, asker: str) -> bool:
    """Whether a probe may go to a host on behalf of somebody at another: never into our own networks from outside."""
    address = ipaddress.ip_address(target)
    if is_synthetic(target) or address.is_multicast or address.is_unspecified or target == "255.255.255.255":
        return False
    if is_disguised(target) and not address.is_loopback:
        return False
    if address.is_loopback:
        return ipaddress.ip_address(asker).is_loopback
    return network_of(target) is not None or network_of(asker) is None


def _ignore(_contact: Contact, _answer: Answer | None) -> None:
    return
