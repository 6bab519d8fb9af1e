"""Figures of a relay server in Prometheus' text format (version 0.0.4)."""

from collections.abc import Mapping
from dataclasses import dataclass

from media.turn.allocation import Counters, Tables
from media.turn.server import SUCCEEDED, TurnServerCore

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = {1: "binding", 3: "allocate", 4: "refresh", 8: "create_permission", 9: "channel_bind"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric: its samples by label text."""

    name: str
    kind: str
    meaning: str
    samples: Mapping[str, float]


def traffic(tables: Tables) -> Counters:
    """The counts of all allocations, past and present."""
    counters = Counters()
    counters.add(tables.finished)
    for allocation in tables.allocations.values():
        counters.add(allocation.counters)
    return counters


def figures(core: TurnServerCore, tables: Tables) -> list[Figure]:
    """All metrics."""
    counted = traffic(tables)
    transports = {name: 0 for name in ("udp", "tcp", "tls")}
    for allocation in tables.allocations.values():
        transports[allocation.transport] += 1
    answers = {
        f'{{method="{_METHODS[method]}",status="{status}"}}': count
        for (method, status), count in sorted(core.answered.items())
    }
    return [
        Figure("allocations", "gauge", "Allocations now", {f'{{transport="{k}"}}': v for k, v in transports.items()}),
        Figure("relayed_addresses", "gauge", "Relayed addresses in use or reserved", {"": core.allocations.in_use}),
        Figure("relayed_addresses_free", "gauge", "Addresses that may still be had", {"": core.allocations.free}),
        Figure("users", "gauge", "Owners of credentials that are remembered", {"": len(core.allocations.users)}),
        Figure("draining", "gauge", "1 while no new allocations are made", {"": int(core.allocations.is_draining)}),
        Figure("answers_total", "counter", f"Answers by method and status ({SUCCEEDED}: success)", answers),
        Figure("silenced_total", "counter", "Requests over a budget, left unanswered", {"": core.silenced}),
        Figure("malformed_total", "counter", "Messages that could not be read", {"": core.malformed}),
        Figure(
            "packets_total",
            "counter",
            "Packets relayed",
            {'{direction="to_peer"}': counted.to_peer, '{direction="to_client"}': counted.to_client},
        ),
        Figure(
            "bytes_total",
            "counter",
            "Bytes of payload relayed",
            {'{direction="to_peer"}': counted.to_peer_bytes, '{direction="to_client"}': counted.to_client_bytes},
        ),
        Figure("packets_dropped_total", "counter", "Packets without a permission or a way", {"": counted.dropped}),
        Figure("packets_over_quota_total", "counter", "Packets over a quota", {"": counted.over_quota}),
        Figure("month_bytes", "gauge", "Bytes relayed this month, headers included", {"": tables.meter.used}),
        Figure("month_bytes_max", "gauge", "Bytes that may be relayed in a month", {"": tables.meter.end}),
    ]


def text(core: TurnServerCore, tables: Tables) -> str:
    """All metrics as Prometheus reads them."""
    lines = []
    for figure in figures(core, tables):
        name = f"p2psip_turn_{figure.name}"
        lines += [f"# HELP {name} {figure.meaning}.", f"# TYPE {name} {figure.kind}"]
        lines += [f"{name}{labels} {_number(value)}" for labels, value in figure.samples.items()]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
