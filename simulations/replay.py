"""One lookup again, seen from outside: the same run with a tap on the world, and the datagrams of that lookup as a ladder.

A run is repeated to the byte, so the begin and the asker of the lookup are known from its row; the tap opens the asker's frames
with the keys of the simulated nodes and keeps the requests and answers of that search. The repeated run ends with the lookup.
Nodes behind a NAT are not recognised by their outer address: what is said to them directly is left out.
"""

import importlib
from contextlib import suppress
from typing import Any

from overlay.frame import FrameBox
from overlay.rpc import ANSWER, FIND, REQUEST
from p2psip.base.chance import Chance
from p2psip.base.codec import unpack
from p2psip.base.core import Address
from p2psip.base.errors import P2psipError
from simulations.ladder import ladder_text
from simulations.network.endpoint import Endpoint
from simulations.results import Result, Row
from simulations.run import SEALINGS, run_scenario

ROUNDING_SECONDS = 0.001  # of the column t
LADDER_ROWS_MAX = 1_000


class ReplayError(P2psipError):
    """The lookup that was asked for is not there."""


class ReplayDone(Exception):
    """Ends the repeated run."""


def replay_into(result: Result, number: int) -> str:
    """Repeat the run of `result`, put the table `ladder` of its lookup `number` (a row, from 1) into it, and give it as text."""
    importlib.import_module("simulations.scenarios")
    lookups = result.tables.get("lookups", [])
    if not 1 <= number <= len(lookups):
        raise ReplayError(f"there is no lookup {number}: this run recorded {len(lookups)}")
    row = lookups[number - 1]
    tap = LookupTap(row, result.sealing)
    with suppress(ReplayDone):
        run_scenario(result.scenario, result.parameters, result.seed, sealing=result.sealing, taps=[tap])
    result.tables["ladder"] = tap.rows
    found = "found" if row.get("found") else "did not find"
    head = f"lookup {number}: node {row['node']} {found} node {row['target']} after {row['seconds']:.3f} s, {row['hops']} hops"
    if not tap.rows:
        return f"{head}; no datagram was needed"
    return f"{head}\n{ladder_text(tap.rows)}"


class LookupTap:
    """Keeps the requests and answers of one search of one node; raises ReplayDone when its time is over."""

    def __init__(self, lookup: Row, sealing: str) -> None:
        self.rows: list[Row] = []
        self._asker = lookup["node"]
        self._begin = float(lookup["t"] or 0) - ROUNDING_SECONDS
        self._end = float(lookup["t"] or 0) + float(lookup["seconds"] or 0) + ROUNDING_SECONDS
        self._sealing = SEALINGS[sealing]
        self._hosts: dict[Address, Any] = {}
        self._key: Any = None
        self._ids: set[int] = set()

    def __call__(self, now: float, sender: Endpoint, destination: Address, data: bytes, arrivals: int) -> None:
        """As `simulations.world.Tap`."""
        self._hosts[sender.address] = sender.host
        if now < self._begin:
            return
        if now > self._end or len(self.rows) >= LADDER_ROWS_MAX:
            raise ReplayDone
        receiver = self._hosts.get(destination)
        if receiver is None or self._asker not in (sender.host.number, receiver.number):
            return
        payload = self._open(receiver, data, now)
        what = self._words(payload, sender.host.number) if payload else None
        if what is not None:
            self.rows.append(
                {
                    "t": max(0.0, now - self._begin - ROUNDING_SECONDS),
                    "from": f"node {sender.host.number}",
                    "to": f"node {receiver.number}",
                    "what": what,
                    "bytes": len(data),
                    "lost": not arrivals,
                }
            )

    def _open(self, receiver: Any, data: bytes, now: float) -> bytes:
        box = FrameBox(receiver.device.node_key, Chance.seeded(0), 0.0, self._sealing())
        try:
            return box.open(data, now)[1]
        except P2psipError:
            return b""

    def _words(self, payload: bytes, sender: int) -> str | None:
        if payload[0] not in (REQUEST, ANSWER):
            return None
        fields = unpack(payload[1:])
        if payload[0] == ANSWER:
            return _answer_words(fields) if fields[0] in self._ids and sender != self._asker else None
        if fields[1] != FIND or sender != self._asker:
            return None
        key = fields[6][0]
        if self._key is None:
            self._key = key
        if key != self._key:
            return None
        again = " again" if fields[0] in self._ids else ""
        self._ids.add(fields[0])
        return f"find{again}"


def _answer_words(fields: Any) -> str:
    status, found = fields[1], fields[6]
    if status != 200:
        return f"answer {status}"
    counts = [len(part) for part in found if isinstance(part, list)] if isinstance(found, list) else []
    return f"answer {'+'.join(map(str, counts))}" if counts else "answer"
