"""Peers that a node remembers over restarts, and its own counters that must only grow: one SQLite file, safe against kill -9.

A file that is damaged is set aside under the name with DAMAGED_SUFFIX and a new one begun: the node can join again through
its introducers, and the frames of this run are later than those of earlier ones as long as the clock is right.
"""

import ipaddress
import logging
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import KEY_BYTES

PEERS_MAX = 500
DAMAGED_SUFFIX = ".damaged"

_ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the latter for damaged texts
_log = logging.getLogger(__name__)

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
            self._database = _open_or_replace(path)
        except (OSError, *_ERRORS) as error:
            raise RemoteError(f"the file of remembered peers {path} cannot be used: {error}", status=500) from error

    def next_start(self, unix: float) -> float:
        """The start of this run, later than that of every earlier run even when the clock went back (`overlay.frame`)."""
        try:
            row = self._database.execute("SELECT started FROM runs").fetchone()
            started = max(int(unix), row[0] + 1 if row and type(row[0]) is int else 0)
            self._database.execute("INSERT OR REPLACE INTO runs VALUES (1, ?)", (started,))
        except _ERRORS as error:
            raise RemoteError(f"the start of this run could not be remembered: {error}", status=500) from error
        return float(started)

    def load(self) -> list[tuple[bytes, Address]]:
        """(node key, address) of all, the one seen last first; what is no node key or no address is passed over."""
        query = "SELECT node_key, host, port FROM peers ORDER BY seen DESC, node_key"
        try:
            rows = self._database.execute(query).fetchall()
        except _ERRORS as error:
            raise RemoteError(f"the remembered peers could not be read: {error}", status=500) from error
        return [(node_key, (host, port)) for node_key, host, port in rows if _is_peer(node_key, host, port)]

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
        except _ERRORS as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise RemoteError(f"the peers could not be remembered: {error}", status=507) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _open_or_replace(path: Path | None) -> sqlite3.Connection:
    """The database in `path`; one that is damaged is set aside first."""
    try:
        return _open(path)
    except sqlite3.OperationalError:  # locked, full, not ours to write: nothing is wrong with what it holds
        raise
    except sqlite3.DatabaseError as error:
        if path is None:
            raise
        aside = path.with_name(path.name + DAMAGED_SUFFIX)
        _log.warning("the file of remembered peers is damaged (%s); it is kept as %s and a new one begun", error, aside)
        os.replace(path, aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=5)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA)
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        for columns, table in (("node_key, host, port, seen", "peers"), ("only, started", "runs")):
            _check_columns(database, columns, table)
    except UnicodeDecodeError as error:
        database.close()
        raise sqlite3.DatabaseError("its schema is no text") from error
    except BaseException:
        database.close()
        raise
    return database


def _check_columns(database: sqlite3.Connection, columns: str, table: str) -> None:
    found = ", ".join(row[1] for row in database.execute(f"PRAGMA table_info({table})"))
    if found != columns:
        raise sqlite3.DatabaseError(f"the table {table} has the columns {found}")


def _is_peer(node_key: Any, host: Any, port: Any) -> bool:
    if not (type(node_key) is bytes and len(node_key) == KEY_BYTES and type(port) is int and 0 < port < 65_536):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return type(host) is str
