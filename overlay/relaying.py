"""A super-node's side of rendezvous: who is attached, and which frames are passed on to whom.

A client attaches (RPC ATTACH) and stays attached for FLOW_SECONDS after each ATTACH. Enrolled members may have frames passed
on to attached clients, and within VISITOR_SECONDS the clients may answer them. A frame for an address (`overlay.via`) is
passed on for attached clients only, never into private, loopback, link-local or multicast networks: a super-node is no way
into the network that it stands in. Each sender has a budget, and so has the super-node in all.

When room gets scarce, new load is shed first: a client says how many other flows it has, and the last places are kept for those
with fewer. A full super-node takes a client that has none in place of one that has OTHERS_MIN others and says that this flow may
go. Who lies keeps one flow at best that others need more; who says nothing has none, and is never sent away.

A volunteer that wants to leave drains: who is attached is told and keeps its flow, nobody new is taken.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from overlay.budget import Budget
from overlay.contact import is_disguised
from overlay.frame import FRAME_OVERHEAD_BYTES
from overlay.via import Relay, is_via, make_lost, make_relayed, parse_relay
from p2psip.base.core import Address, is_synthetic
from p2psip.base.errors import RemoteError
from p2psip.base.keys import node_id_of

CLIENTS_MAX = 1_000
RESERVED_SHARES = (0, 16, 8)
"""One in so many places is kept from newcomers with as many other flows, or more; 0: none is."""
OTHERS_MIN = 2
FLOW_SECONDS = 40.0
VISITORS_MAX = 4_096
VISITOR_SECONDS = 60.0
SENDERS_MAX = 4_096
FRAMES_PER_SENDER_PER_SECOND_MAX = 250
BYTES_PER_SENDER_PER_SECOND_MAX = 256 * 1024
FRAMES_PER_SECOND_MAX = 5_000
BYTES_PER_SECOND_MAX = 4 * 1024 * 1024
HELD_SENDERS_MAX = 64
HELD_FRAMES_MAX = 16


@dataclass(frozen=True, slots=True)
class Attached:
    """A node that frames are passed on to, until `expires` (steady seconds). `may_go`: it has others, and says so."""

    node_key: bytes
    address: Address
    expires: float
    may_go: bool = False


@dataclass(slots=True)
class RelayCounters:
    """What a super-node has done since its start."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    refused: int = 0
    replaced: int = 0


class Relaying:
    """Passes frames on. `send(node_key, address, payload)` sends a payload; `is_member(node_key, now)` knows who is enrolled;
    `ask_who(node_key, now)` asks a node for its certificate, after which `proved` is called; `charge(bytes)` is false when the
    month's bytes are used up."""

    def __init__(
        self,
        *,
        send: Callable[[bytes, Address, bytes], None],
        is_member: Callable[[bytes, float], bool],
        ask_who: Callable[[bytes, float], None],
        clients_max: int = CLIENTS_MAX,
        allows_private: bool = False,
        charge: Callable[[int], bool] = bool,
    ) -> None:
        self.draining = self.is_leaving = False
        self.counters = RelayCounters()
        self.clients_max = clients_max
        self._allows_private = allows_private
        self._charge = charge
        self._send = send
        self._is_member = is_member
        self._ask_who = ask_who
        self._attached: OrderedDict[bytes, Attached] = OrderedDict()
        self._visitors: OrderedDict[bytes, Attached] = OrderedDict()
        self._senders: OrderedDict[bytes, tuple[Budget, Budget]] = OrderedDict()
        self._held: OrderedDict[bytes, list[tuple[Address, Relay]]] = OrderedDict()
        self._frames = Budget(FRAMES_PER_SECOND_MAX)
        self._bytes = Budget(BYTES_PER_SECOND_MAX)

    def __len__(self) -> int:
        """How many clients are attached (at most `clients_max`)."""
        return len(self._attached)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Visitors, senders with a budget, senders whose frames wait for a certificate: each bounded."""
        return len(self._visitors), len(self._senders), len(self._held)

    def attach(
        self, node_key: bytes, address: Address, now: float, *, others: int = 0, may_go: bool = False
    ) -> list[int | bool]:
        """Take a member in or keep it: [capacity left, whether we drain]; RemoteError(503) for a new one if full or draining.

        `others`: the flows that it has elsewhere; `may_go`: this one is for somebody who has none.
        """
        self._expire(now)
        node_id = node_id_of(node_key)
        if node_id not in self._attached or self.is_leaving:
            if self.draining or self.is_leaving:
                raise RemoteError("this super-node is about to leave", status=503)
            if node_id not in self._attached:
                self._make_room(others)
        may_go = may_go and others >= OTHERS_MIN
        self._attached[node_id] = Attached(node_key, address, now + FLOW_SECONDS, may_go)
        self._attached.move_to_end(node_id)
        return [self.clients_max - len(self._attached), self.draining]

    def _make_room(self, others: int) -> None:
        """Let there be a place for a newcomer; RemoteError(503) if there can be none."""
        one_in = RESERVED_SHARES[max(0, min(others, len(RESERVED_SHARES) - 1))]
        if len(self._attached) < self.clients_max - (self.clients_max // one_in if one_in else 0):
            return
        spare = None if others > 0 else next((node_id for node_id, each in self._attached.items() if each.may_go), None)
        if spare is None:
            raise RemoteError("this super-node keeps as many flows as it can", status=503)
        gone = self._attached.pop(spare)
        self.counters.replaced += 1
        self._send(gone.node_key, gone.address, make_lost(spare))

    def flow(self, node_id: bytes) -> Address | None:
        """Where an attached node is."""
        attached = self._attached.get(node_id)
        return None if attached is None else attached.address

    @property
    def streams(self) -> set[Address]:
        """The connections over which nodes are attached."""
        return {attached.address for attached in self._attached.values() if is_synthetic(attached.address[0])}

    def close(self) -> None:
        """We end: tell all who are attached, so that they notice at once."""
        for node_id, attached in self._attached.items():
            self._send(attached.node_key, attached.address, make_lost(node_id))
        self._attached.clear()

    def leave(self) -> None:
        """We end soon: tell all who are attached, take nobody, and pass on what comes while they move."""
        if not self.is_leaving:
            self.is_leaving = True
            for node_id, attached in self._attached.items():
                self._send(attached.node_key, attached.address, make_lost(node_id))

    def take(self, sender: bytes, payload: bytes, source: Address, now: float) -> None:
        """Serve a RELAY; what a stranger sends waits for their certificate. RemoteError if malformed."""
        relay = parse_relay(payload)
        if self._is_member(sender, now):
            self._relay(sender, relay, source, now)
            return
        held = self._held.setdefault(sender, [])
        if len(held) < HELD_FRAMES_MAX:
            held.append((source, relay))
        if len(self._held) > HELD_SENDERS_MAX:
            self._held.popitem(last=False)
        self._ask_who(sender, now)

    def proved(self, sender: bytes, now: float) -> None:
        """A stranger turned out to be a member."""
        for source, relay in self._held.pop(sender, ()):
            self._relay(sender, relay, source, now)

    def _relay(self, sender: bytes, relay: Relay, source: Address, now: float) -> None:
        self._expire(now)
        if not self._may_send(sender, len(relay.inner), now):
            self.counters.refused += 1
            return
        self._visit(sender, source, now)
        if relay.address is not None and relay.node_key is not None:
            self._relay_to_address(sender, relay.node_key, relay.address, relay.inner, source)
            return
        target = self._attached.get(relay.target) or self._visitors.get(relay.target)
        if target is None or (relay.is_last and is_via(target.address)):
            self.counters.lost += 1
            self._send(sender, source, make_lost(relay.target))
            return
        self._pass_on(target.node_key, target.address, relay.inner)

    def _relay_to_address(
        self, sender: bytes, node_key: bytes, address: Address, inner: bytes, source: Address
    ) -> None:
        sender_id = node_id_of(sender)
        if sender_id not in self._attached:
            self.counters.lost += 1
            self._send(sender, source, make_lost(sender_id))
        elif may_relay_to(address[0], allows_private=self._allows_private):
            self._pass_on(node_key, address, inner)
        else:
            self.counters.refused += 1

    def _pass_on(self, node_key: bytes, address: Address, inner: bytes) -> None:
        self.counters.frames += 1
        self.counters.bytes += len(inner)
        self._send(node_key, address, make_relayed(inner))

    def _may_send(self, sender: bytes, size: int, now: float) -> bool:
        budgets = self._senders.get(sender)
        if budgets is None:
            budgets = Budget(FRAMES_PER_SENDER_PER_SECOND_MAX), Budget(BYTES_PER_SENDER_PER_SECOND_MAX)
            self._senders[sender] = budgets
            if len(self._senders) > SENDERS_MAX:
                self._senders.popitem(last=False)
        self._senders.move_to_end(sender)
        if not (budgets[0].spend(now) and budgets[1].spend(now, size)):
            return False
        return self._frames.spend(now) and self._bytes.spend(now, size) and self._charge(size + FRAME_OVERHEAD_BYTES)

    def _visit(self, sender: bytes, source: Address, now: float) -> None:
        node_id = node_id_of(sender)
        self._visitors[node_id] = Attached(sender, source, now + VISITOR_SECONDS)
        self._visitors.move_to_end(node_id)
        if len(self._visitors) > VISITORS_MAX:
            self._visitors.popitem(last=False)

    def _expire(self, now: float) -> None:
        for table in (self._attached, self._visitors):
            while table and next(iter(table.values())).expires <= now:
                table.popitem(last=False)


def may_relay_to(host: str, *, allows_private: bool) -> bool:
    """Whether a super-node sends to this host for others."""
    address = ipaddress.ip_address(host)
    if is_synthetic(str(address)) or address.is_multicast or address.is_unspecified:
        return False
    if (is_disguised(host) and not address.is_loopback) or address == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return allows_private or (address.is_global and not address.is_link_local)
