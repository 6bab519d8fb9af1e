"""What a node must not forget: its keys, its membership, its phones. One SQLite file that survives kill -9.

Secrets at rest: private keys in clear (the file has mode 0600), passwords of phones never, only their digest HA1.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2psip.base.errors import P2psipError

STATE_FILE = "node.sqlite"
LOCK_FILE = "running"
WAIT_SECONDS_MAX = 5.0
PHONES_MAX = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS membership (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    overlay TEXT NOT NULL, addresses TEXT NOT NULL, node_key BLOB NOT NULL, signing_key BLOB NOT NULL,
    ca BLOB NOT NULL, certificate BLOB NOT NULL, configuration BLOB NOT NULL, invite TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS introducers (
    node_key BLOB NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL, PRIMARY KEY (node_key, host, port)
);
CREATE TABLE IF NOT EXISTS port (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS clock (only INTEGER PRIMARY KEY CHECK (only = 1), correction REAL NOT NULL);
CREATE TABLE IF NOT EXISTS phones (
    name TEXT PRIMARY KEY, address TEXT NOT NULL, algorithm TEXT NOT NULL, ha1 TEXT NOT NULL, added INTEGER NOT NULL
);
"""


class StateError(P2psipError):
    """The state file cannot be opened, or lacks what a command needs."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What enrolment gave: private keys (32 bytes), certificates as DER, the signed configuration, the invite link."""

    overlay: str
    addresses: tuple[str, ...]
    node_key: bytes
    signing_key: bytes
    ca_der: bytes
    certificate_der: bytes
    configuration: bytes
    invite: str


@dataclass(frozen=True, slots=True)
class Phone:
    """An account that a phone registers with. `ha1` is the secret of RFC 7616 §3.4.2; `added` is unix seconds."""

    name: str
    address: str
    algorithm: str
    ha1: str
    added: int


class State:
    """The open state file. Each method is one transaction, on disk when it returns."""

    def __init__(self, home: Path) -> None:
        path = home / STATE_FILE
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(path, isolation_level=None, timeout=WAIT_SECONDS_MAX)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"the state file {path} cannot be used: {_words(error)}") from error
        self.path = path

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def membership(self) -> Membership | None:
        """What enrolment gave, or None before it."""
        rows = self._read(
            "SELECT overlay, addresses, node_key, signing_key, ca, certificate, configuration, invite FROM membership"
        )
        return Membership(rows[0][0], tuple(rows[0][1].split()), *rows[0][2:]) if rows else None

    def require_membership(self) -> Membership:
        """What enrolment gave; StateError with the way out before it."""
        membership = self.membership()
        if membership is None:
            raise StateError("this machine has not joined an overlay yet: run `p2psip join LINK --name YOU` first")
        return membership

    def save_membership(self, membership: Membership) -> None:
        """Store or replace what enrolment gave."""
        values = (
            membership.overlay,
            " ".join(membership.addresses),
            membership.node_key,
            membership.signing_key,
            membership.ca_der,
            membership.certificate_der,
            membership.configuration,
            membership.invite,
        )
        self._write("INSERT OR REPLACE INTO membership VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def introducers(self) -> list[tuple[bytes, tuple[str, int]]]:
        """The peers that enrolment named: (node key, address)."""
        rows = self._read("SELECT node_key, host, port FROM introducers ORDER BY rowid")
        return [(node_key, (host, port)) for node_key, host, port in rows]

    def save_introducer(self, node_key: bytes, address: tuple[str, int]) -> None:
        """Remember one peer to begin with."""
        self._write("INSERT OR IGNORE INTO introducers VALUES (?, ?, ?)", (node_key, *address))

    def port(self) -> int:
        """The number that the node's port had last; 0 before its first start."""
        rows = self._read("SELECT number FROM port")
        return int(rows[0][0]) if rows else 0

    def save_port(self, number: int) -> None:
        """Remember it."""
        self._write("INSERT OR REPLACE INTO port VALUES (1, ?)", (number,))

    def clock_correction(self) -> float:
        """Seconds to add to this machine's calendar (`p2psip.app.timekeeping`); 0.0 when it was never found wrong."""
        rows = self._read("SELECT correction FROM clock")
        return float(rows[0][0]) if rows else 0.0

    def save_clock_correction(self, seconds: float) -> None:
        """Remember them for the next start."""
        self._write("INSERT OR REPLACE INTO clock VALUES (1, ?)", (seconds,))

    def phones(self) -> list[Phone]:
        """All phone accounts by name."""
        rows = self._read("SELECT name, address, algorithm, ha1, added FROM phones ORDER BY name")
        return [Phone(*row) for row in rows]

    def phone(self, name: str) -> Phone | None:
        """The account of one user name, or None."""
        query = "SELECT name, address, algorithm, ha1, added FROM phones WHERE name = ?"
        rows = self._read(query, (name,))
        return Phone(*rows[0]) if rows else None

    def version(self) -> tuple[int, int]:
        """Changes when anything is written, by this process or another one; cheaper than to read anything."""
        return self._read("PRAGMA data_version")[0][0], self._database.total_changes

    def add_phone(self, phone: Phone) -> None:
        """Store an account; StateError if the name is taken or there are PHONES_MAX."""
        names = {known.name for known in self.phones()}
        if phone.name in names:
            raise StateError(f"there is a phone named {phone.name} already; choose another name or remove it first")
        if len(names) >= PHONES_MAX:
            raise StateError(f"a node serves at most {PHONES_MAX} phones")
        row = (phone.name, phone.address, phone.algorithm, phone.ha1, phone.added)
        self._write("INSERT INTO phones VALUES (?, ?, ?, ?, ?)", row)

    def remove_phone(self, name: str) -> None:
        """Forget an account; StateError if there is none of that name."""
        if not self._write("DELETE FROM phones WHERE name = ?", (name,)):
            raise StateError(f"there is no phone named {name}; `p2psip phone list` shows them")

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateError(f"the state file {self.path} cannot be read: {_words(error)}") from error

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        try:
            return self._database.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise StateError(f"the state file {self.path} cannot be written: {_words(error)}") from error


def _words(error: OSError | sqlite3.Error) -> str:
    """What is wrong and what to do about it, as far as that is known."""
    if isinstance(error, OSError):
        return f"{error.strerror}; it must be a folder where this user may write: change that, or choose another with --home"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return f"{error}; make room there and try again"
    return str(error)


@contextmanager
def only_process(home: Path) -> Iterator[None]:
    """Hold the folder for one running process; StateError while another one holds it. kill -9 lets go of it, too."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(home / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"the folder {home} cannot be used: {_words(error)}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateError(f"p2psip is running in {home} already; stop it first, or use another --home") from error
    try:
        yield
    finally:
        os.close(descriptor)
