"""One registration at a provider, as a core: when to send REGISTER, what its answers mean, when to try again.

RFC 3261 §10.2, RFC 5626 §4.5 (the shape of the backoff), RFC 3581 (the address that the provider sees). The owner builds each
REGISTER with `request`, sends it, and hands in what came of it with `take` or `fail`. Looking up and connecting are its business.
"""

from enum import StrEnum

from p2psip.base.chance import Chance
from p2psip.sip.build import make_request
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri

EXPIRES_SECONDS_MIN = 30
EXPIRES_SECONDS_MAX = 86_400
REFRESH_SHARE_MIN, REFRESH_SHARE_MAX = 0.75, 0.9
RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 8.0, 600.0
REFUSED_SECONDS_FIRST, REFUSED_SECONDS_MAX = 120.0, 3_600.0
RETRY_AFTER_SECONDS_MAX = 3_600
MOVE_SECONDS_MIN = 30.0

_REFUSALS = (401, 402, 403, 404, 405, 407, 410, 416, 420, 433)


class State(StrEnum):
    """Where a registration is."""

    OFF = "off"
    TRYING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting to try again"


class Registration:
    """The registration of `address` (the address of record) at `registrar`."""

    def __init__(self, address: SipUri, registrar: SipUri, expires_seconds: int, chance: Chance) -> None:
        self.state = State.OFF
        self.words = "not registered"
        self.expires_at: float | None = None
        self.due: float | None = None
        self.learnt: tuple[str, int] | None = None
        self._address = NameAddr(None, address)
        self._registrar = registrar
        self._wanted = expires_seconds
        self._chance = chance
        self._call_id = chance.token(16)
        self._tag = chance.token(8)
        self._number = 0
        self._failures = 0
        self._contact = self._granted_contact = ""
        self._moved_at = -MOVE_SECONDS_MIN

    def is_registered(self, now: float) -> bool:
        """Whether the provider can reach us: a refresh under way, or one that failed, does not end what was granted."""
        return self.expires_at is not None and self.expires_at > now

    def begin(self, now: float) -> None:
        """Register as soon as the owner asks."""
        self.due = now

    def next_number(self) -> int:
        """The CSeq of the next REGISTER; they count up within the one Call-ID (§10.2.4)."""
        self._number += 1
        return self._number

    def request(self, contact: str) -> Request:
        """A REGISTER for `contact` (a Contact value); the owner sends it now."""
        self.state = State.TRYING
        self.due = None
        contacts = [("Contact", f"{contact};expires={self._wanted}")]
        if self._granted_contact not in ("", contact):
            contacts.append(("Contact", f"{self._granted_contact};expires=0"))  # where we were before (§10.2.2)
        self._contact = contact
        return self._register([*contacts, ("Expires", str(self._wanted))])

    def farewell(self) -> Request | None:
        """A REGISTER that ends the registration; None when there is none."""
        self.due = None
        if self.expires_at is None or not self._contact:
            return None
        self.state, self.words, self.expires_at = State.OFF, "not registered any more", None
        return self._register([("Contact", f"{self._contact};expires=0"), ("Expires", "0")])

    def take(self, response: Response, now: float, words: str = "") -> None:
        """The final answer to the last request; `words` say why a challenge was not answered."""
        self._note_seen(response)
        status = response.status
        if status < 300:
            self._accept(response, now)
        elif status == 423:
            self._ask_longer(response, now)
        else:
            why = words or response.warning
            said = f"the provider says {status} {response.reason}" + (f": {why}" if why else "")
            if status < 400:
                said += "; redirected registrations are not followed"
            self._wait(said, now, refused=status in _REFUSALS or status < 400 or status >= 600)
            after = retry_after(response)
            if after is not None:
                self.due = max(self.due or now, now + after * self._chance.uniform(1.0, 1.1))

    def fail(self, words: str, now: float) -> None:
        """Nobody answered, or nobody could be reached."""
        self._wait(words, now, refused=False)

    def move(self, contact: str, now: float) -> bool:
        """Whether to register anew at once, because `contact` is what others must use by now."""
        if contact == self._contact or now < self._moved_at + MOVE_SECONDS_MIN:
            return False
        self._moved_at = now
        self.due = now
        return True

    def _register(self, headers: list[tuple[str, str]]) -> Request:
        return make_request(
            "REGISTER",
            self._registrar,
            from_=self._address.with_tag(self._tag),
            to=self._address,
            call_id=self._call_id,
            cseq=self.next_number(),
            headers=headers,
        )

    def _note_seen(self, response: Response) -> None:
        """The address that the provider sees us at: `received` and `rport` of our Via (RFC 3581 §4)."""
        via = response.top_via
        port = via.parameter("rport") or ""
        host = via.parameter("received") or via.host.strip("[]")
        if port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536:
            self.learnt = host.strip("[]"), int(port)

    def _accept(self, response: Response, now: float) -> None:
        seconds = self._granted(response)
        if seconds < 1:
            self._wait("the provider says 200 but keeps no binding of ours", now, refused=True)
            return
        self.state, self.words = State.REGISTERED, "registered"
        self._failures, self._granted_contact = 0, self._contact
        self.expires_at = now + seconds
        self.due = now + max(1.0, seconds * self._chance.uniform(REFRESH_SHARE_MIN, REFRESH_SHARE_MAX))

    def _granted(self, response: Response) -> int:
        """Seconds until the binding runs out (§10.2.4): those of our Contact, or of the only one when it was rewritten."""
        ours = NameAddr.parse(self._contact).uri
        contacts = response.contacts
        found = [each for each in contacts if isinstance(ours, SipUri) and ours.matches(each.uri)] or list(contacts)
        texts = [each.parameter("expires") for each in found[-1:]]
        for text in texts:
            if text is not None and text.isascii() and text.isdigit():
                return min(int(text[:10]), EXPIRES_SECONDS_MAX)
        expires = self._wanted if response.expires is None else response.expires
        return min(expires, EXPIRES_SECONDS_MAX)

    def _ask_longer(self, response: Response, now: float) -> None:
        """§10.2.8: the provider names the shortest time that it takes."""
        text = (response.headers.get("Min-Expires") or "").strip()
        shortest = int(text[:10]) if text.isascii() and text.isdigit() else 0
        if not self._wanted < shortest <= EXPIRES_SECONDS_MAX:
            self._wait(
                f"the provider says 423, but {text or 'nothing'} is no longer time that could be asked",
                now,
                refused=True,
            )
            return
        self._wanted = shortest
        self.due = now

    def _wait(self, words: str, now: float, *, refused: bool) -> None:
        """Ever longer, and at drawn times (RFC 5626 §4.5); a provider that refuses is asked rarely, lest it shuts us out."""
        first, longest = (
            (REFUSED_SECONDS_FIRST, REFUSED_SECONDS_MAX) if refused else (RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX)
        )
        delay = min(longest, first * 2 ** min(self._failures, 16))
        self._failures += 1
        self.state, self.words = State.WAITING, words
        self.due = now + delay * self._chance.uniform(0.5, 1.0)


def retry_after(response: Response) -> int | None:
    """Seconds of Retry-After (§20.33), at most RETRY_AFTER_SECONDS_MAX; None without."""
    text = (response.headers.get("Retry-After") or "").strip()
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return min(int(digits[:10]), RETRY_AFTER_SECONDS_MAX) if digits else None
