"""Our side of authentication: a user name and a password, the challenges met so far, and requests that answer them.

RFC 3261 §22, RFC 7616, RFC 8760. Requests that follow carry an answer at once (RFC 3261 §22.3 allows it), with a nonce count that
goes up; a nonce that has become stale is replaced. The password is in no text that this module makes.
"""

from collections import OrderedDict
from collections.abc import Callable

from p2psip.base.chance import Chance
from p2psip.sip.digest import Challenge, respond, strongest_challenges
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.headers import CSeq
from p2psip.sip.message import Request, Response

CHALLENGED_MAX = 4
REALMS_MAX = 8

_FIELDS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


class _Nonce:
    """A challenge and how often it was answered."""

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self.count = 0


class Credentials:
    """A user name and a password for one provider, and what it has asked for."""

    def __init__(self, user: str, password: str, chance: Chance) -> None:
        self.user = user
        self._password = password
        self._chance = chance
        self._nonces: OrderedDict[tuple[str, str], _Nonce] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Credentials of {self.user}>"

    def attach(self, request: Request, next_number: Callable[[], int] | None = None) -> "Authorisation":
        """Let `request`, which is new, answer at once what was asked for before, and later what it is asked for.

        `next_number` gives the CSeq of each repetition; by default they count up from its own.
        """
        found = request.authorise = Authorisation(self, next_number)
        self.prepare(request)
        return found

    def prepare(self, request: Request) -> None:
        """Answer at once, in `request`, what was asked for before."""
        for field in ("Authorization", "Proxy-Authorization"):
            request.headers.remove(field)
        for (field, _realm), nonce in self._nonces.items():
            nonce.count += 1
            answer = respond(
                nonce.challenge,
                method=request.method,
                uri=str(request.uri),
                user=self.user,
                password=self._password,
                cnonce=self._chance.token(8),
                nonce_count=nonce.count,
            )
            request.headers.add(field, answer)

    def note(self, field: str, challenge: Challenge) -> None:
        """Answer this challenge from now on; of more than REALMS_MAX the oldest is forgotten."""
        self._nonces[field, challenge.realm] = _Nonce(challenge)
        self._nonces.move_to_end((field, challenge.realm))
        while len(self._nonces) > REALMS_MAX:
            self._nonces.popitem(last=False)


class Authorisation:
    """The challenges to one request. `failure` says in words why the last one was not answered."""

    def __init__(self, credentials: Credentials, next_number: Callable[[], int] | None = None) -> None:
        self.credentials = credentials
        self._next_number = next_number
        self._answered: set[tuple[str, str]] = set()
        self._challenged = 0
        self.failure = ""

    def __call__(self, request: Request, response: Response) -> Request | None:
        """The request again with an answer to the challenge in `response` (401 or 407); None when there is none to give.

        None for a realm that refuses the password (a challenge answered before, and no stale nonce), above CHALLENGED_MAX, and
        for challenges that cannot be answered, such as auth-int.
        """
        asked, answered = _FIELDS[response.status]
        try:
            challenges = strongest_challenges(response.headers.all(asked))
        except SipSyntaxError as error:
            self.failure = str(error)
            return None
        self._challenged += 1
        user = self.credentials.user
        for realm, challenge in challenges.items():
            if (answered, realm) in self._answered and not challenge.stale:
                self.failure = f'the password of user "{user}" is refused in the realm "{realm}"'
                return None
        if self._challenged > CHALLENGED_MAX:
            self.failure = f'user "{user}" is asked for the password again and again ({response.status})'
            return None
        for realm, challenge in challenges.items():
            self._answered.add((answered, realm))
            self.credentials.note(answered, challenge)
        return self._again(request)

    def _again(self, request: Request) -> Request:
        again = request.copy()
        again.headers.remove("Via")  # ours: the transaction layer puts a new one (§8.1.3.5)
        number = request.cseq.number + 1 if self._next_number is None else self._next_number()
        again.headers.set("CSeq", str(CSeq(number, request.method)))
        self.credentials.prepare(again)
        return again
