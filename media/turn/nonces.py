"""Nonces that the server need not remember (RFC 8489 §9.2): a time and a keyed hash of it and of the client's address."""

import base64
import hashlib
import hmac

from p2psip.base.core import Address

NONCE_SECONDS = 600
NONCE_BYTES = 16
_MAC_BYTES = 8


class Nonces:
    """Makes and recognises nonces. They are good for NONCE_SECONDS, at the address that they were made for only."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, client: Address, now: float) -> bytes:
        """A fresh nonce for `client`: NONCE_BYTES of base64."""
        expiry = (int(now) + NONCE_SECONDS & 0xFFFF_FFFF).to_bytes(4, "big")
        return base64.urlsafe_b64encode(expiry + self._seal(expiry, client))

    def holds(self, nonce: bytes, client: Address, now: float) -> bool:
        """Whether `nonce` was made here for `client` and is still good."""
        if len(nonce) != NONCE_BYTES:
            return False
        try:
            raw = base64.b64decode(nonce, b"-_", validate=True)
        except ValueError:
            return False
        left = int.from_bytes(raw[:4], "big") - int(now)
        return 0 < left <= NONCE_SECONDS and hmac.compare_digest(raw[4:], self._seal(raw[:4], client))

    def _seal(self, expiry: bytes, client: Address) -> bytes:
        words = expiry + client[1].to_bytes(2, "big") + client[0].encode()
        return hashlib.blake2b(words, digest_size=_MAC_BYTES, key=self._key).digest()
