"""What a caller is told when a call fails: the choice among several failures, and the words that say why.

RFC 3261 §16.7 (best response), §20.43 (Warning), RFC 3326 (Reason).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2psip.base.errors import RemoteError
from p2psip.sip.build import REASONS, make_response
from p2psip.sip.extensions import tokens
from p2psip.sip.message import Request, Response

ALLOWED_METHODS = (
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, REGISTER, PRACK, UPDATE, REFER, SUBSCRIBE, NOTIFY, PUBLISH"
)
SUPPORTED = "100rel, timer, replaces, norefersub, outbound, gruu"
_UNDERSTOOD = frozenset(SUPPORTED.split(", "))
"""Option tags that this node understands (RFC 3261 §19.2), as they stand in Supported."""
WORDS_CHARACTERS_MAX = 200
RETRY_SECONDS = 5
SESSION_SECONDS_MIN = 90
"""The shortest session interval that we take (RFC 4028 §4)."""

_MOST_TELLING = (415, 420, 484, 488, 486)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one branch, or the whole call, came to nothing. `words` may be empty."""

    status: int
    words: str = ""

    @classmethod
    def of_error(cls, error: RemoteError) -> "Failure":
        """The failure that an error reports."""
        return cls(error.status if 300 <= error.status < 700 else 500, str(error))

    @classmethod
    def of_response(cls, response: Response) -> "Failure":
        """The failure that a peer reports, as far as it may be passed on.

        Redirections are not followed and not forwarded; a challenge is meant for us, not for the caller.
        """
        if response.status < 400:
            return cls(480, "the phone redirects its calls, which this node does not follow")
        if response.status in (401, 407):
            return cls(480, "the phone asks this node for a password")
        return cls(response.status, response.warning)


def best_failure(failures: Sequence[Failure]) -> Failure:
    """The failure that tells a caller most (RFC 3261 §16.7 step 6): any 6xx, else of the lowest class, 408 and 503 last."""
    if not failures:
        return Failure(480, "no phone is registered")
    return min(failures, key=_rank)


def refuse(request: Request, failure: Failure, host: str, *, to_tag: str) -> Response:
    """The final response that says why: a Warning for people, Allow, Retry-After and the like for machines."""
    headers: list[tuple[str, str]] = []
    if failure.words:
        headers.append(("Warning", f'399 {host} "{_quotable(failure.words)}"'))
    if failure.status == 405:
        headers.append(("Allow", ALLOWED_METHODS))
    unsupported = unsupported_options(request) if failure.status == 420 else ()
    if unsupported:
        headers.append(("Unsupported", ", ".join(unsupported)))
    if failure.status == 422:
        headers.append(("Min-SE", str(SESSION_SECONDS_MIN)))
    if failure.status in (500, 503):
        headers.append(("Retry-After", str(RETRY_SECONDS)))
    return make_response(request, failure.status, to_tag=to_tag, headers=headers)


def unsupported_options(request: Request) -> list[str]:
    """What `request` requires and this node does not understand (RFC 3261 §8.2.2.3)."""
    return sorted(tokens(request.headers, "Require") - _UNDERSTOOD) if "Require" in request.headers else []


def reason_header(status: int, words: str = "") -> tuple[str, str]:
    """A Reason header field for a BYE or CANCEL."""
    return ("Reason", f'SIP;cause={status};text="{_quotable(words or REASONS.get(status, "Unknown"))}"')


def _rank(failure: Failure) -> tuple[int, int, int]:
    status = failure.status
    if status >= 600:
        return (0, 0, status)
    late = status in (408, 480, 487, 503)
    telling = _MOST_TELLING.index(status) if status in _MOST_TELLING else len(_MOST_TELLING)
    return (status // 100, telling + (100 if late else 0), status)


def _quotable(words: str) -> str:
    kept = "".join(letter if letter.isprintable() and letter not in '"\\' else "'" for letter in words)
    return kept[:WORDS_CHARACTERS_MAX]
