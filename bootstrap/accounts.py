"""The authority's rows in one SQLite file: write-ahead log, synced to disk at each commit, readable by its owner only.

Several processes may have the file open (the server, and the operator's `p2psip invite` or `p2psip revoke`), so nothing
is cached. One connection serves several threads in turn.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bootstrap.ledger import Account, IssuedCertificate, OverlayRow, Token
from p2psip.base.errors import LocalError

BUSY_SECONDS_MAX = 10.0
FILE_MODE = 0o600
TOKENS_KEPT_SECONDS = 3 * 86_400
_VERSION = 1
_SCHEMA = """
CREATE TABLE overlay (
    only INTEGER PRIMARY KEY CHECK (only = 1), name TEXT NOT NULL, ca_key BLOB NOT NULL, ca BLOB NOT NULL,
    configuration BLOB NOT NULL, next_number INTEGER NOT NULL
);
CREATE TABLE accounts (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, password TEXT, created INTEGER NOT NULL,
    closed INTEGER NOT NULL
);
CREATE TABLE certificates (
    serial INTEGER PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (name), node_id BLOB NOT NULL,
    signing_key BLOB NOT NULL, der BLOB NOT NULL, not_after INTEGER NOT NULL, revoked INTEGER NOT NULL
);
CREATE INDEX certificates_by_account ON certificates (account);
CREATE INDEX certificates_by_node ON certificates (node_id);
CREATE INDEX certificates_by_end ON certificates (not_after);
CREATE TABLE tokens (
    hash BLOB PRIMARY KEY, account TEXT, expires INTEGER NOT NULL, used_serial INTEGER
);
CREATE TABLE bans (node_id BLOB PRIMARY KEY);
CREATE TABLE nonces (nonce BLOB PRIMARY KEY, expires INTEGER NOT NULL);
CREATE INDEX nonces_by_end ON nonces (expires);
"""
_ACCOUNT = "SELECT name, number, password, created, closed FROM accounts"
_CERTIFICATE = "SELECT serial, account, node_id, signing_key, der, not_after, revoked FROM certificates"


class Accounts:
    """The open file (or `:memory:`): `bootstrap.ledger.Storage` on SQLite."""

    def __init__(self, path: Path | str, *, create: bool) -> None:
        self._lock = threading.RLock()
        if str(path) != ":memory:":
            _prepare_file(Path(path), create=create)
        try:
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=BUSY_SECONDS_MAX, check_same_thread=False
            )
            self._set_up()
        except sqlite3.Error as error:
            raise LocalError(f"the bootstrap server's file {path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and on disk at the end. Other threads and processes wait meanwhile."""
        with self._lock:
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def overlay(self) -> OverlayRow:
        """The overlay; LocalError if none was created in this file."""
        row = self._one("SELECT name, ca_key, ca, configuration FROM overlay")
        if row is None:
            raise LocalError("this file holds no overlay yet: create one first")
        return OverlayRow(*row)

    def create(self, row: OverlayRow, next_number: int) -> None:
        """Store a new overlay; LocalError if there is one already."""
        if self._one("SELECT 1 FROM overlay") is not None:
            raise LocalError("this file holds an overlay already")
        values = (row.name, row.ca_key, row.ca_der, row.configuration, next_number)
        self._run("INSERT INTO overlay VALUES (1, ?, ?, ?, ?, ?)", values)

    def set_configuration(self, configuration: bytes) -> None:
        """Replace the signed configuration."""
        self._run("UPDATE overlay SET configuration = ?", (configuration,))

    def take_number(self) -> int:
        """The number to try next for a new account; each is given once."""
        row = self._one("UPDATE overlay SET next_number = next_number + 1 RETURNING next_number - 1")
        return int(row[0]) if row else 0

    def account(self, name: str) -> Account | None:
        """The account of that name."""
        return _account(self._one(f"{_ACCOUNT} WHERE name = ?", (name,)))

    def account_of_number(self, number: int) -> Account | None:
        """The account with that numeric alias."""
        return _account(self._one(f"{_ACCOUNT} WHERE number = ?", (number,)))

    def accounts(self) -> list[Account]:
        """All accounts by name."""
        found = (_account(row) for row in self._all(f"{_ACCOUNT} ORDER BY name"))
        return [account for account in found if account is not None]

    def account_count(self) -> int:
        """How many accounts there are."""
        return self._count("accounts")

    def save_account(self, account: Account) -> None:
        """Store or replace an account."""
        values = (account.name, account.number, account.password, account.created, account.closed)
        self._run(
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET number = excluded.number,"
            " password = excluded.password, closed = excluded.closed",
            values,
        )

    def token(self, token_hash: bytes) -> Token | None:
        """The token with that hash."""
        row = self._one("SELECT hash, account, expires, used_serial FROM tokens WHERE hash = ?", (token_hash,))
        return Token(*row) if row else None

    def save_token(self, token: Token) -> None:
        """Store or replace a token."""
        values = (token.hash, token.account, token.expires, token.used_serial)
        self._run("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)", values)

    def token_count(self) -> int:
        """How many tokens are stored."""
        return self._count("tokens")

    def certificate(self, serial: int) -> IssuedCertificate | None:
        """The certificate with that serial number."""
        if not 0 < serial < 1 << 63:
            return None
        row = self._one(f"{_CERTIFICATE} WHERE serial = ?", (serial,))
        return _certificate(row) if row else None

    def certificates(self, account: str, unix: float) -> list[IssuedCertificate]:
        """An account's certificates that have not expired (revoked ones included), oldest first."""
        query = f"{_CERTIFICATE} WHERE account = ? AND not_after >= ? ORDER BY not_after, serial"
        return [_certificate(row) for row in self._all(query, (account, unix))]

    def owner(self, node_id: bytes) -> str | None:
        """The account with a certificate for this Node-ID, if there is one."""
        row = self._one("SELECT account FROM certificates WHERE node_id = ? LIMIT 1", (node_id,))
        return str(row[0]) if row else None

    def save_certificate(self, certificate: IssuedCertificate) -> None:
        """Store or replace a certificate."""
        c = certificate
        values = (c.serial, c.account, c.node_id, c.signing_key, c.der, c.not_after, c.revoked)
        self._run("INSERT OR REPLACE INTO certificates VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def revoked_serials(self, unix: float) -> list[int]:
        """Serial numbers of revoked certificates that have not expired."""
        query = "SELECT serial FROM certificates WHERE revoked AND not_after >= ? ORDER BY serial"
        return [int(row[0]) for row in self._all(query, (unix,))]

    def bans(self) -> list[bytes]:
        """Banned Node-IDs."""
        return [bytes(row[0]) for row in self._all("SELECT node_id FROM bans ORDER BY node_id")]

    def save_bans(self, node_ids: Iterable[bytes]) -> None:
        """Replace the banned Node-IDs."""
        self._run("DELETE FROM bans")
        for node_id in node_ids:
            self._run("INSERT OR IGNORE INTO bans VALUES (?)", (node_id,))

    def nonce_seen(self, nonce: bytes) -> bool:
        """Whether a request with this nonce was served."""
        return self._one("SELECT 1 FROM nonces WHERE nonce = ?", (nonce,)) is not None

    def nonce_count(self) -> int:
        """How many nonces are remembered."""
        return self._count("nonces")

    def save_nonce(self, nonce: bytes, expires: int) -> None:
        """Remember a nonce until `expires` (unix seconds)."""
        self._run("INSERT INTO nonces VALUES (?, ?)", (nonce, expires))

    def forget_expired(self, unix: float) -> None:
        """Drop nonces and certificates that expired before `unix`, tokens some days later (to say that they have)."""
        self._run("DELETE FROM nonces WHERE expires < ?", (unix,))
        self._run("DELETE FROM tokens WHERE expires < ?", (unix - TOKENS_KEPT_SECONDS,))
        self._run("DELETE FROM certificates WHERE not_after < ?", (unix,))

    def _set_up(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")
        with self.transaction():
            version = self._count_of("PRAGMA user_version")
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise LocalError(f"the bootstrap server's file is of version {version}; this program knows {_VERSION}")

    def _run(self, statement: str, values: tuple[object, ...] = ()) -> None:
        with self._lock:
            try:
                self._database.execute(statement, values)
            except sqlite3.Error as error:
                raise LocalError(f"the bootstrap server's file cannot be written: {error}") from error

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise LocalError(f"the bootstrap server's file cannot be read: {error}") from error

    def _one(self, query: str, values: tuple[object, ...] = ()) -> Any:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _count(self, table: str) -> int:
        return self._count_of(f"SELECT count(*) FROM {table}")

    def _count_of(self, query: str) -> int:
        return int(self._one(query)[0])


def _prepare_file(path: Path, *, create: bool) -> None:
    if not create and not path.is_file():
        raise LocalError(f"there is no overlay at {path}: start `p2psip bootstrap` there first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
        path.chmod(FILE_MODE)  # the log files beside it take this mode over
    except OSError as error:
        raise LocalError(f"the bootstrap server's file {path} cannot be opened: {error.strerror}") from error


def _account(row: Any) -> Account | None:
    return Account(row[0], row[1], row[2], row[3], bool(row[4])) if row else None


def _certificate(row: Any) -> IssuedCertificate:
    return IssuedCertificate(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]))
