"""Keys for SRTP in session descriptions: a=crypto lines and their offer and answer (RFC 4568, suites of RFC 7714 §14).

Whoever reads the signalling can read the media: who uses this sees to it that signalling is encrypted or stays on the machine.
A line's lifetime is not counted: no call comes near the 2^31 packets that the smallest usual one allows.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from media.srtp import SUITES, MasterKey, SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError

LINES_MAX = 16
LIFETIME_PACKETS_MIN = 1 << 20
MKI_BYTES_MAX = 128

_LINE = re.compile(r"([0-9]{1,9})\s+([A-Za-z0-9_]{1,40})\s+(\S{1,400})((?:\s+\S{1,100}){0,16})\s*")
_KEY = re.compile(r"inline:([A-Za-z0-9+/]{1,200}={0,2})(?:\|((?:2\^)?[0-9]{1,15}))?(?:\|([0-9]{1,39}):([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Crypto:
    """One a=crypto line that can be used: its tag, and the key that its author sends with."""

    tag: int
    key: MasterKey

    @classmethod
    def parse(cls, text: str) -> "Crypto":
        """The line in `text` (without `crypto:`); RemoteError(488) for one that cannot be read or is not carried here."""
        line = _LINE.fullmatch(text.strip())
        found = _KEY.fullmatch(line[3]) if line is not None else None
        if line is None or found is None:
            raise RemoteError("an a=crypto line that cannot be read", status=488)
        suite = SUITES.get(line[2].upper())
        if suite is None:
            raise RemoteError(f"the crypto-suite {line[2]} is not carried here", status=488)
        if any(not _is_harmless(each) for each in line[4].split()):
            raise RemoteError("an a=crypto line with session parameters that are not carried here", status=488)
        secret = _decode(found[1])
        if len(secret) != suite.key_bytes + suite.salt_bytes:
            raise RemoteError(f"a key of the wrong length for {suite.name}", status=488)
        if found[2] is not None and _lifetime(found[2]) < LIFETIME_PACKETS_MIN:
            raise RemoteError("a key for so few packets is not carried here", status=488)
        mki_bytes = int(found[4] or 0)
        if mki_bytes > MKI_BYTES_MAX or (found[4] is not None and mki_bytes == 0):
            raise RemoteError("a master key identifier of a length that RFC 4568 does not allow", status=488)
        return cls(int(line[1]), MasterKey(suite.name, secret, mki_bytes))

    def to_sdp(self) -> str:
        """The line as it stands behind `crypto:`."""
        return f"{self.tag} {self.key.suite} inline:{base64.b64encode(self.key.secret).decode()}"


def usable(lines: Sequence[str]) -> list[Crypto]:
    """The lines that can be used, in the order of their author; at most LINES_MAX are looked at, and others passed over."""
    found: list[Crypto] = []
    for text in lines[:LINES_MAX]:
        try:
            found.append(Crypto.parse(text))
        except RemoteError:
            continue
    return found


class SdesNegotiation:
    """The keys of one leg through its offers and answers (RFC 4568 §7.1). `keys` are those in force.

    An offer counts once it is answered. What is said again (a hold, a session timer) keeps its key; whoever changes the key
    gets a new one of ours, too.
    """

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._ours: dict[str, Crypto] = {}
        self._offered: list[Crypto] = []
        self._theirs: Crypto | None = None
        self.keys: SrtpKeys | None = None

    def offer(self) -> list[Crypto]:
        """Our lines for an offer: all suites at first, later the one in use with its key."""
        agreed = None if self.keys is None else self.keys.send
        suites = SUITES if agreed is None else (agreed.suite,)
        self._offered = [self._our(suite, tag) for tag, suite in enumerate(suites, 1)]
        return self._offered

    def take_offer(self, lines: Sequence[str]) -> None:
        """Choose among the peer's lines; RemoteError(488) when none can be used."""
        found = usable(lines)
        if not found:
            raise RemoteError("no SRTP keys that this node can use: it takes " + ", ".join(SUITES), status=488)
        self._theirs = found[0]

    def answer(self) -> Crypto:
        """Our line for the answer to the offer that was taken; its keys are in force from now on."""
        theirs = self._theirs
        assert theirs is not None
        before = self.keys
        if before is not None and before.receive is not None and before.receive != theirs.key:
            self._ours.pop(theirs.key.suite, None)
        ours = self._our(theirs.key.suite, theirs.tag)
        self.keys = SrtpKeys(ours.key, theirs.key)
        return ours

    def take_answer(self, lines: Sequence[str]) -> None:
        """The peer's choice among our lines; RemoteError(488) when it is none of them."""
        offered = {crypto.tag: crypto for crypto in self._offered}
        found = usable(lines[:1])
        ours = offered.get(found[0].tag) if found else None
        if not found or ours is None or ours.key.suite != found[0].key.suite:
            raise RemoteError("an answer with SRTP keys that were not offered", status=488)
        self.keys = SrtpKeys(ours.key, found[0].key)

    def _our(self, suite: str, tag: int) -> Crypto:
        known = self._ours.get(suite)
        if known is None:
            size = SUITES[suite].key_bytes + SUITES[suite].salt_bytes
            known = self._ours[suite] = Crypto(tag, MasterKey(suite, self._chance.bytes(size)))
        return Crypto(tag, known.key)


def _is_harmless(parameter: str) -> bool:
    """A window size is a hint, and what begins with a hyphen may be passed over (RFC 4568 §6.3)."""
    return parameter.startswith("-") or parameter.upper().startswith("WSH=")


def _lifetime(text: str) -> int:
    return 1 << min(int(text[2:]), 64) if text.startswith("2^") else int(text)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise RemoteError("an a=crypto line with a key that is no base64", status=488) from error
