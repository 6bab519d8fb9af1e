"""The rows that the authority keeps, and the small port through which it keeps them (`bootstrap.accounts` is on disk)."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OverlayRow:
    """The overlay itself: its authority's private key (32 bytes), certificate (DER) and signed configuration."""

    name: str
    ca_key: bytes
    ca_der: bytes
    configuration: bytes


@dataclass(frozen=True, slots=True)
class Account:
    """A person: name, numeric alias, scrypt hash (None: enrols by token only). `created` is in unix seconds."""

    name: str
    number: int
    password: str | None
    created: int
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time token by its hash. `account` binds it to a name; `used_serial` is the certificate it was spent on."""

    hash: bytes
    account: str | None
    expires: int
    used_serial: int | None = None


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A device certificate that the authority has signed, whose it is, and whether it was revoked."""

    serial: int
    account: str
    node_id: bytes
    signing_key: bytes
    der: bytes
    not_after: int
    revoked: bool = False


class Storage(Protocol):
    """Durable rows. What happens inside `transaction` is on disk as a whole when it ends, or not at all."""

    def transaction(self) -> AbstractContextManager[None]:
        """Begin; commit at the end, roll back on an error."""

    def overlay(self) -> OverlayRow:
        """The overlay."""

    def create(self, row: OverlayRow, next_number: int) -> None:
        """Store a new overlay."""

    def set_configuration(self, configuration: bytes) -> None:
        """Replace the signed configuration."""

    def take_number(self) -> int:
        """The number to try next for a new account; each is given once."""

    def account(self, name: str) -> Account | None:
        """The account of that name."""

    def account_of_number(self, number: int) -> Account | None:
        """The account with that numeric alias."""

    def accounts(self) -> list[Account]:
        """All accounts by name."""

    def account_count(self) -> int:
        """How many accounts there are."""

    def save_account(self, account: Account) -> None:
        """Store or replace an account."""

    def token(self, token_hash: bytes) -> Token | None:
        """The token with that hash."""

    def save_token(self, token: Token) -> None:
        """Store or replace a token."""

    def token_count(self) -> int:
        """How many tokens are stored."""

    def certificate(self, serial: int) -> IssuedCertificate | None:
        """The certificate with that serial number."""

    def certificates(self, account: str, unix: float) -> list[IssuedCertificate]:
        """An account's certificates that have not expired (revoked ones included), oldest first."""

    def owner(self, node_id: bytes) -> str | None:
        """The account with a certificate for this Node-ID, if there is one."""

    def save_certificate(self, certificate: IssuedCertificate) -> None:
        """Store or replace a certificate."""

    def revoked_serials(self, unix: float) -> list[int]:
        """Serial numbers of revoked certificates that have not expired."""

    def bans(self) -> list[bytes]:
        """Banned Node-IDs."""

    def save_bans(self, node_ids: Iterable[bytes]) -> None:
        """Replace the banned Node-IDs."""

    def nonce_seen(self, nonce: bytes) -> bool:
        """Whether a request with this nonce was served."""

    def nonce_count(self) -> int:
        """How many nonces are remembered."""

    def save_nonce(self, nonce: bytes, expires: int) -> None:
        """Remember a nonce until `expires` (unix seconds)."""

    def forget_expired(self, unix: float) -> None:
        """Drop nonces and certificates that expired before `unix`, and tokens some days after their end."""
