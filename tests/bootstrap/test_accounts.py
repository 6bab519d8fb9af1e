"""The file on disk: private, durable, whole transactions only, shared by processes."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from bootstrap.accounts import TOKENS_KEPT_SECONDS, Accounts
from bootstrap.ledger import Account, IssuedCertificate, OverlayRow, Token
from p2psip.base.errors import LocalError

ALICE = Account("alice", 1001, "scrypt$…", 5)
ROW = OverlayRow("home.example", bytes(32), b"ca", b"configuration")


def _certificate(serial: int, *, account: str = "alice", not_after: int = 100) -> IssuedCertificate:
    return IssuedCertificate(serial, account, bytes(20), bytes(32), b"der", not_after)


def _open(path: Path) -> Accounts:
    accounts = Accounts(path, create=True)
    accounts.create(ROW, 1001)
    return accounts


def _write_twice(accounts: Accounts) -> None:
    accounts.save_account(ALICE)
    accounts.save_account(Account("bob", ALICE.number, None, 5))


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "below" / "x.sqlite"
    accounts = _open(path)
    accounts.save_account(ALICE)
    accounts.save_certificate(_certificate(7))
    accounts.save_token(Token(b"h", "alice", 50, 7))
    accounts.save_bans([b"b", b"a"])
    accounts.save_nonce(b"n", 50)
    accounts.set_configuration(b"newer")
    assert accounts.take_number() == 1001
    accounts.close()
    again = Accounts(path, create=False)
    assert again.overlay() == OverlayRow("home.example", bytes(32), b"ca", b"newer")
    assert again.take_number() == 1002
    assert again.account("alice") == again.account_of_number(1001) == ALICE
    assert again.certificates("alice", 100) == [_certificate(7)]
    assert again.certificates("alice", 101) == []
    assert again.token(b"h") == Token(b"h", "alice", 50, 7)
    assert again.bans() == [b"a", b"b"]
    assert again.nonce_seen(b"n")
    again.close()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.touch(mode=0o644)
    accounts = _open(path)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == 3
    assert modes == {0o600}
    accounts.close()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    accounts = _open(tmp_path / "x.sqlite")
    with pytest.raises(LocalError), accounts.transaction():
        _write_twice(accounts)
    assert accounts.accounts() == []
    with accounts.transaction():
        accounts.save_account(ALICE)
    assert accounts.accounts() == [ALICE]
    accounts.close()


def test_a_broken_rule_of_the_tables_is_a_local_error(tmp_path: Path) -> None:
    accounts = _open(tmp_path / "x.sqlite")
    with pytest.raises(LocalError, match="cannot be written"):
        accounts.save_certificate(_certificate(7, account="nobody"))
    accounts.save_account(ALICE)
    with pytest.raises(LocalError, match="cannot be written"):
        accounts.save_account(Account("bob", 1001, None, 5))
    with pytest.raises(LocalError, match="an overlay already"):
        accounts.create(ROW, 1)
    accounts.close()


def test_two_openers_see_each_other(tmp_path: Path) -> None:
    server, operator = _open(tmp_path / "x.sqlite"), Accounts(tmp_path / "x.sqlite", create=False)
    operator.save_account(ALICE)
    assert server.account("alice") == ALICE
    assert (server.take_number(), operator.take_number()) == (1001, 1002)
    server.close()
    operator.close()


def test_what_has_expired_goes(tmp_path: Path) -> None:
    accounts = _open(tmp_path / "x.sqlite")
    accounts.save_account(ALICE)
    accounts.save_certificate(_certificate(7, not_after=10))
    accounts.save_certificate(_certificate(8, not_after=11))
    accounts.save_nonce(b"n", 10)
    accounts.save_token(Token(b"h", None, 10))
    accounts.forget_expired(11)
    assert accounts.certificate(7) is None
    assert accounts.certificate(8) == _certificate(8, not_after=11)
    assert (accounts.nonce_count(), accounts.token_count(), accounts.account_count()) == (0, 1, 1)
    accounts.forget_expired(11 + TOKENS_KEPT_SECONDS)
    assert accounts.token_count() == 0
    accounts.close()


def test_serials_that_no_row_can_have(tmp_path: Path) -> None:
    accounts = _open(tmp_path / "x.sqlite")
    for serial in (-1, 0, 1 << 63, 1 << 159):
        assert accounts.certificate(serial) is None
    accounts.close()


def test_no_file_garbage_and_a_later_version_are_said_plainly(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with pytest.raises(LocalError, match="there is no overlay at"):
        Accounts(path, create=False)
    path.write_bytes(os.urandom(5000))
    with pytest.raises(LocalError, match="cannot be opened"):
        Accounts(path, create=False)
    path.unlink()
    Accounts(path, create=True).close()
    with pytest.raises(LocalError, match="no overlay yet"):
        Accounts(path, create=False).overlay()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LocalError, match="version 99"):
        Accounts(path, create=False)
    with pytest.raises(LocalError, match="cannot be opened"):
        Accounts(tmp_path, create=True)
