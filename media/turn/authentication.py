"""The long-term credential mechanism (RFC 8489 §9.2) for users whose name says until when they may come (p2psip/base/grants.py).

No user is known beforehand: the password follows from the name and the secret. A nonce is checked first, for it costs least.
"""

from media.turn import messages
from media.turn.messages import Message, attribute
from media.turn.nonces import Nonces
from media.turn.refusal import Refusal
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.grants import USERNAME_CHARACTERS_MAX, turn_password, username_expiry, username_owner

KEYS_CACHED_MAX = 1_024


class Authentication:
    """Verifies requests of one realm and makes the challenges."""

    def __init__(self, *, secret: bytes, realm: str, nonces: Nonces) -> None:
        self._secret, self._realm, self._nonces = secret, realm, nonces
        self._realm_bytes = realm.encode()
        self._keys: dict[str, bytes] = {}

    def verify(self, message: Message, client: Address, now: float, unix: float) -> tuple[str, bytes]:
        """The owner of the request's credentials and the key for the answer; Refusal(400, 401, 438) otherwise."""
        if not message.integrity_at:
            raise self._challenge(401, "no credentials", client, now)
        attributes = message.attributes
        username, realm = attributes.get(messages.USERNAME), attributes.get(messages.REALM)
        nonce = attributes.get(messages.NONCE)
        if username is None or realm is None or nonce is None:
            raise Refusal(400, "MESSAGE-INTEGRITY without USERNAME, REALM or NONCE")
        if not self._nonces.holds(nonce, client, now):
            raise self._challenge(438, "a nonce that is over, or of another client", client, now)
        name = _readable(username)
        if name is None or realm != self._realm_bytes or not _is_in_time(name, unix):
            raise self._challenge(401, "a user name or realm that is not good here", client, now)
        key = self._key(name)
        if not message.is_signed_with(key):
            raise self._challenge(401, "a wrong password", client, now)
        self._remember(name, key)
        return username_owner(name), key

    def _challenge(self, status: int, words: str, client: Address, now: float) -> Refusal:
        nonce = attribute(messages.NONCE, self._nonces.make(client, now))
        return Refusal(status, words, attribute(messages.REALM, self._realm_bytes) + nonce)

    def _key(self, name: str) -> bytes:
        return self._keys.get(name) or messages.long_term_key(name, self._realm, turn_password(self._secret, name))

    def _remember(self, name: str, key: bytes) -> None:
        """Only keys of names that have proved good are kept, so that no stranger can push them out."""
        if name not in self._keys:
            if len(self._keys) >= KEYS_CACHED_MAX:
                self._keys.clear()
            self._keys[name] = key


def _readable(username: bytes) -> str | None:
    if len(username) > USERNAME_CHARACTERS_MAX or not username.isascii():
        return None
    return username.decode("ascii")


def _is_in_time(name: str, unix: float) -> bool:
    try:
        return username_expiry(name) > unix
    except RemoteError:
        return False
