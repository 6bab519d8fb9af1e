"""The rows of the bootstrap server's authority in memory: `bootstrap.ledger.Storage` for simulated worlds."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from bootstrap.ledger import Account, IssuedCertificate, OverlayRow, Token


class MemoryLedger:
    """Rows in dictionaries. Nothing rolls back: a simulated authority never fails half way."""

    def __init__(self) -> None:
        self._overlay: OverlayRow | None = None
        self._next_number = 0
        self._accounts: dict[str, Account] = {}
        self._numbers: dict[int, str] = {}
        self._tokens: dict[bytes, Token] = {}
        self._certificates: dict[int, IssuedCertificate] = {}
        self._by_account: dict[str, list[int]] = {}
        self._owners: dict[bytes, str] = {}
        self._bans: list[bytes] = []
        self._nonces: dict[bytes, int] = {}

    def transaction(self) -> AbstractContextManager[None]:
        """Nothing to do."""
        return nullcontext()

    def overlay(self) -> OverlayRow:
        """The overlay."""
        assert self._overlay is not None
        return self._overlay

    def create(self, row: OverlayRow, next_number: int) -> None:
        """Store a new overlay."""
        self._overlay, self._next_number = row, next_number

    def set_configuration(self, configuration: bytes) -> None:
        """Replace the signed configuration."""
        self._overlay = replace(self.overlay(), configuration=configuration)

    def take_number(self) -> int:
        """The number to try next for a new account; each is given once."""
        self._next_number += 1
        return self._next_number - 1

    def account(self, name: str) -> Account | None:
        """The account of that name."""
        return self._accounts.get(name)

    def account_of_number(self, number: int) -> Account | None:
        """The account with that numeric alias."""
        name = self._numbers.get(number)
        return None if name is None else self._accounts[name]

    def accounts(self) -> list[Account]:
        """All accounts by name."""
        return [self._accounts[name] for name in sorted(self._accounts)]

    def account_count(self) -> int:
        """How many accounts there are."""
        return len(self._accounts)

    def save_account(self, account: Account) -> None:
        """Store or replace an account."""
        self._accounts[account.name] = account
        self._numbers[account.number] = account.name

    def token(self, token_hash: bytes) -> Token | None:
        """The token with that hash."""
        return self._tokens.get(token_hash)

    def save_token(self, token: Token) -> None:
        """Store or replace a token."""
        self._tokens[token.hash] = token

    def token_count(self) -> int:
        """How many tokens are stored."""
        return len(self._tokens)

    def certificate(self, serial: int) -> IssuedCertificate | None:
        """The certificate with that serial number."""
        return self._certificates.get(serial)

    def certificates(self, account: str, unix: float) -> list[IssuedCertificate]:
        """An account's certificates that have not expired (revoked ones included), oldest first."""
        held = (self._certificates[serial] for serial in self._by_account.get(account, ()))
        return [each for each in held if each.not_after > unix]

    def owner(self, node_id: bytes) -> str | None:
        """The account with a certificate for this Node-ID, if there is one."""
        return self._owners.get(node_id)

    def save_certificate(self, certificate: IssuedCertificate) -> None:
        """Store or replace a certificate."""
        if certificate.serial not in self._certificates:
            self._by_account.setdefault(certificate.account, []).append(certificate.serial)
        self._certificates[certificate.serial] = certificate
        self._owners[certificate.node_id] = certificate.account

    def revoked_serials(self, unix: float) -> list[int]:
        """Serial numbers of revoked certificates that have not expired."""
        return sorted(each.serial for each in self._certificates.values() if each.revoked and each.not_after > unix)

    def bans(self) -> list[bytes]:
        """Banned Node-IDs."""
        return list(self._bans)

    def save_bans(self, node_ids: Iterable[bytes]) -> None:
        """Replace the banned Node-IDs."""
        self._bans = sorted(node_ids)

    def nonce_seen(self, nonce: bytes) -> bool:
        """Whether a request with this nonce was served."""
        return nonce in self._nonces

    def nonce_count(self) -> int:
        """How many nonces are remembered."""
        return len(self._nonces)

    def save_nonce(self, nonce: bytes, expires: int) -> None:
        """Remember a nonce until `expires` (unix seconds)."""
        self._nonces[nonce] = expires

    def forget_expired(self, unix: float) -> None:
        """Drop nonces whose time is over."""
        for nonce in [nonce for nonce, expires in self._nonces.items() if expires <= unix]:
            del self._nonces[nonce]
