"""Secrets as they are stored: passwords by scrypt (RFC 7914), one-time tokens by SHA-256."""

import base64
import hashlib
import hmac
import unicodedata

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError

PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 128
TOKEN_BYTES = 16
_COST = 1 << 14
_SALT_BYTES = 16
_HASH_BYTES = 32
_MEMORY_BYTES_MAX = 64 << 20


def check_password(password: str) -> str:
    """A password fit for a new account; RemoteError(400) otherwise."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise RemoteError(
            f"choose a password of {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters for the account"
        )
    return password


def hash_password(password: str, chance: Chance) -> str:
    """`scrypt$cost$salt$hash`; some 35 ms and 16 MiB, on purpose."""
    salt = chance.bytes(_SALT_BYTES)
    return f"scrypt${_COST}${salt.hex()}${_scrypt(password, salt, _COST).hex()}"


def password_matches(password: str, stored: str | None) -> bool:
    """Whether `password` is the stored one. An account without one costs the same time and never matches."""
    if stored is None:
        _scrypt(password, bytes(_SALT_BYTES), _COST)
        return False
    _name, cost, salt, expected = stored.split("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), int(cost)), bytes.fromhex(expected))


def new_token(chance: Chance) -> str:
    """A one-time token: 128 random bits as 26 small letters and digits."""
    return base64.b32encode(chance.bytes(TOKEN_BYTES)).decode().rstrip("=").lower()


def hash_token(token: str) -> bytes:
    """The stored form of a token; its 128 bits need no slow hash."""
    return hashlib.sha256(b"p2psip invite token\0" + token.encode()).digest()


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    text = unicodedata.normalize("NFC", password).encode()
    return hashlib.scrypt(text, salt=salt, n=cost, r=8, p=1, maxmem=_MEMORY_BYTES_MAX, dklen=_HASH_BYTES)
