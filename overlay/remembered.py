"""Peers that a node remembers over restarts, and its own counters that must only grow: one SQLite file, safe against kill -9."""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError

PEERS_MAX = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS peers (
    node_key BLOB PRIMARY KEY, host TEXT NOT NULL, port INTEGER NOT NULL, seen INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS runs (only INTEGER PRIMARY KEY CHECK (only = 1), started INTEGER NOT NULL);
"""


class RememberedPeers:
    """The file. Each method is one transaction; times are unix seconds."""

    def __init__(self, path: Path | None) -> None:
        try:
            if path is not None:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=5)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise RemoteError(f"the file of remembered peers {path} cannot be used: {error}", status=500) from error

    def next_start(self, unix: float) -> float:
        """The start of this run, later than that of every earlier run even when the clock went back (`overlay.frame`)."""
        row = self._database.execute("SELECT started FROM runs").fetchone()
        started = max(int(unix), row[0] + 1 if row else 0)
        self._database.execute("INSERT OR REPLACE INTO runs VALUES (1, ?)", (started,))
        return float(started)

    def load(self) -> list[tuple[bytes, Address]]:
        """(node key, address) of all, the one seen last first."""
        rows = self._database.execute("SELECT node_key, host, port FROM peers ORDER BY seen DESC, node_key").fetchall()
        return [(node_key, (host, port)) for node_key, host, port in rows]

    def save(self, peers: Iterable[tuple[bytes, Address]], unix: float) -> None:
        """Remember these as seen now; the oldest beyond PEERS_MAX are forgotten."""
        rows = [(node_key, host, port, int(unix)) for node_key, (host, port) in peers]
        try:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?)", rows)
            self._database.execute(
                "DELETE FROM peers WHERE node_key NOT IN (SELECT node_key FROM peers ORDER BY seen DESC LIMIT ?)",
                (PEERS_MAX,),
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise RemoteError(f"the peers could not be remembered: {error}", status=507) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()
