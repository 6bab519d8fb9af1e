"""Digest access authentication, both sides (RFC 3261 §22, RFC 7616, RFC 8760). MD5, SHA-256 and SHA-512-256, qop=auth.

The server keeps no nonces: a nonce is a time, a serial number and an HMAC over both, so that a flood of challenges costs no
memory. What is kept is bounded: the highest nonce-count of the nonces that were used of late.
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2psip.base.chance import Chance
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import is_token, quote, unquote

NONCE_SECONDS_MAX = 300.0
NONCES_REMEMBERED_MAX = 4_096
FIELDS_MAX = 32

CHALLENGES_MAX = 16

_STRENGTH = ("MD5", "SHA-256", "SHA-512-256")
_FIELD = re.compile(r"""\s*([A-Za-z0-9\-_]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)\s*(?:,|$)""", re.DOTALL)
_USUAL_FIELD = re.compile(r"""([A-Za-z0-9\-_]+)=(?:"([^"\\]*+)"|([^\s,"]++))""")
_USUAL_FIELDS = re.compile(rf"{_USUAL_FIELD.pattern}(?:, ?{_USUAL_FIELD.pattern})*+")
_NONCE = re.compile(r"([0-9a-f]{1,16}-[0-9a-f]{1,16})-[0-9a-f]{32}")
_UNQUOTED = frozenset(("algorithm", "qop", "nc", "stale"))


def digest_secret(algorithm: str, user: str, realm: str, password: str) -> str:
    """HA1 of RFC 7616 §3.4.2: H(user:realm:password) in hexadecimal; this is stored, never the password."""
    return _hash(algorithm, f"{user}:{realm}:{password}")


def parse_fields(text: str) -> dict[str, str]:
    """The fields of a `Digest …` value, names in lower case, unquoted; SipSyntaxError for anything else."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise SipSyntaxError("an authentication scheme other than Digest")
    fields = _usual_fields(rest)
    if fields is not None:
        return fields
    fields = {}
    position = 0
    while position < len(rest):
        match = _FIELD.match(rest, position)
        if match is None or match[1].lower() in fields or len(fields) == FIELDS_MAX:
            raise SipSyntaxError("digest fields that cannot be read")
        value = match[2]
        fields[match[1].lower()] = unquote(value) if value.startswith('"') else value
        position = match.end()
    return fields


def _usual_fields(text: str) -> dict[str, str] | None:
    """The fields of `text` as nearly everybody writes them, read with one look; None for all others."""
    if not _USUAL_FIELDS.fullmatch(text):
        return None
    found = _USUAL_FIELD.findall(text)
    fields = {name.lower(): quoted or plain for name, quoted, plain in found}
    return fields if len(fields) == len(found) <= FIELDS_MAX else None


def format_fields(fields: Mapping[str, str]) -> str:
    """The opposite of `parse_fields`, quoted as RFC 3261 §25.1 wants."""
    return "Digest " + ", ".join(
        f"{name}={value}" if name in _UNQUOTED and is_token(value) else f"{name}={quote(value)}"
        for name, value in fields.items()
    )


@dataclass(frozen=True, slots=True)
class Challenge:
    """A server's challenge, as far as we can answer it. `algorithm` is MD5, SHA-256 or SHA-512-256."""

    realm: str
    nonce: str
    algorithm: str
    qop: bool
    opaque: str | None
    stale: bool

    @classmethod
    def parse(cls, text: str) -> "Challenge":
        """The challenge in a WWW-Authenticate or Proxy-Authenticate value; SipSyntaxError if it cannot be answered."""
        fields = parse_fields(text)
        algorithm = fields.get("algorithm", "MD5").upper()
        if algorithm not in _STRENGTH:
            raise SipSyntaxError(f"a challenge with the algorithm {algorithm}, which this side does not know")
        offered = {option.strip().lower() for option in fields.get("qop", "").split(",") if option.strip()}
        if offered and "auth" not in offered:
            raise SipSyntaxError("a challenge that insists on auth-int, which this side does not do")
        if "realm" not in fields or not fields.get("nonce"):
            raise SipSyntaxError("a challenge without realm or nonce")
        stale = fields.get("stale", "").lower() == "true"
        return cls(fields["realm"], fields["nonce"], algorithm, bool(offered), fields.get("opaque"), stale)


def strongest_challenges(values: Sequence[str]) -> dict[str, Challenge]:
    """For each realm the strongest of its challenges that we can answer (RFC 8760 §2.4 leaves the choice to us).

    SipSyntaxError with the reason of the last one when there is none; of more than CHALLENGES_MAX the rest is not read.
    """
    chosen: dict[str, Challenge] = {}
    reason = SipSyntaxError("a refusal without a challenge")
    for value in values[:CHALLENGES_MAX]:
        try:
            challenge = Challenge.parse(value)
        except SipSyntaxError as error:
            reason = error
            continue
        best = chosen.get(challenge.realm)
        if best is None or _STRENGTH.index(challenge.algorithm) > _STRENGTH.index(best.algorithm):
            chosen[challenge.realm] = challenge
    if not chosen:
        raise reason
    return chosen


def respond(
    challenge: Challenge, *, method: str, uri: str, user: str, password: str, cnonce: str, nonce_count: int = 1
) -> str:
    """The Authorization value that answers `challenge`."""
    secret = digest_secret(challenge.algorithm, user, challenge.realm, password)
    fields = {"username": user, "realm": challenge.realm, "nonce": challenge.nonce, "uri": uri}
    if challenge.qop:
        count = f"{nonce_count:08x}"
        answer = _answer(challenge.algorithm, secret, challenge.nonce, method, uri, (count, cnonce))
        fields |= {"response": answer, "algorithm": challenge.algorithm, "cnonce": cnonce, "qop": "auth", "nc": count}
    else:
        answer = _answer(challenge.algorithm, secret, challenge.nonce, method, uri, None)
        fields |= {"response": answer, "algorithm": challenge.algorithm}
    if challenge.opaque is not None:
        fields["opaque"] = challenge.opaque
    return format_fields(fields)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check: `accepted`, or else whether the nonce was merely `stale` (the password may be right)."""

    accepted: bool
    stale: bool = False


class DigestServer:
    """Makes challenges and checks answers for one realm."""

    def __init__(self, realm: str, chance: Chance) -> None:
        self.realm = realm
        self._quoted_realm = quote(realm)
        self._key = chance.bytes(32)
        self._serial = 0
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._forgotten_until = -1

    def challenge(self, algorithm: str, now: float, *, stale: bool = False) -> str:
        """A WWW-Authenticate value. `now` is steady seconds."""
        nonce = self._new_nonce(now)
        also = ", stale=true" if stale else ""
        return f'Digest realm={self._quoted_realm}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{also}'

    def check(self, fields: Mapping[str, str], method: str, secret: str, algorithm: str, now: float) -> Verdict:
        """Whether an Authorization (its fields) proves knowledge of `secret` (HA1 for `algorithm`)."""
        if fields.get("algorithm", "MD5").upper() != algorithm or fields.get("realm") != self.realm:
            return Verdict(False)
        nonce, uri = fields.get("nonce", ""), fields.get("uri", "")
        count, cnonce = fields.get("nc", ""), fields.get("cnonce", "")
        if fields.get("qop", "").lower() != "auth" or not re.fullmatch(r"[0-9a-fA-F]{8}", count) or not cnonce:
            return Verdict(False)
        wanted = _answer(algorithm, secret, nonce, method, uri, (count, cnonce))
        if not hmac.compare_digest(_bytes(wanted), _bytes(fields.get("response", "").lower())):
            return Verdict(False)
        if not self._is_fresh(nonce, now) or not self._count_up(nonce, int(count, 16)):
            return Verdict(False, stale=True)
        return Verdict(True)

    def _new_nonce(self, now: float) -> str:
        """Milliseconds and a serial number, so that no two phones share a nonce, with a code that proves them ours."""
        self._serial += 1
        return self._nonce(f"{int(now * 1000):x}-{self._serial:x}")

    def _nonce(self, stamp: str) -> str:
        return f"{stamp}-{hmac.digest(self._key, stamp.encode(), 'sha256').hex()[:32]}"

    def _is_fresh(self, nonce: str, now: float) -> bool:
        match = _NONCE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(self._nonce(match[1]), nonce):
            return False
        return 0.0 <= now - _milliseconds(nonce) / 1000 + 0.001 <= NONCE_SECONDS_MAX

    def _count_up(self, nonce: str, count: int) -> bool:
        """Refuse a nonce-count that is not above the last one (a replay), and a nonce whose count may be forgotten."""
        if count <= self._counts.get(nonce, 0):
            return False
        if nonce not in self._counts and _milliseconds(nonce) <= self._forgotten_until:
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        if len(self._counts) > NONCES_REMEMBERED_MAX:
            forgotten, _count = self._counts.popitem(last=False)
            self._forgotten_until = max(self._forgotten_until, _milliseconds(forgotten))
        return True


def _milliseconds(nonce: str) -> int:
    return int(nonce.partition("-")[0], 16)


def _hash(algorithm: str, text: str) -> str:
    data = _bytes(text)
    if algorithm == "MD5":
        return hashlib.md5(data).hexdigest()
    if algorithm == "SHA-256":
        return hashlib.sha256(data).hexdigest()
    return hashlib.new("sha512_256", data).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as the parser made it


def _answer(algorithm: str, secret: str, nonce: str, method: str, uri: str, counted: tuple[str, str] | None) -> str:
    target = _hash(algorithm, f"{method}:{uri}")
    middle = f"{nonce}:{counted[0]}:{counted[1]}:auth" if counted else nonce
    return _hash(algorithm, f"{secret}:{middle}:{target}")
