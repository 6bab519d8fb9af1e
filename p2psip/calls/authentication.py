"""Who a phone is: digest authentication of its requests (RFC 3261 §22), with a limit on guessing."""

from dataclasses import dataclass

from p2psip.base.chance import Chance
from p2psip.calls.addresses import Addresses
from p2psip.calls.limiter import BLOCK_SECONDS, GuessLimiter
from p2psip.calls.ports import Account, AccountsPort
from p2psip.calls.proven_request import is_for_request
from p2psip.sip.build import make_response
from p2psip.sip.digest import DigestServer, digest_secret, parse_fields
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that proved nothing, to be sent after `delay_seconds`.

    `incident` is a kind and words for `p2psip.calls.incidents`, where an operator should hear of it.
    """

    response: Response
    delay_seconds: float = 0.0
    incident: tuple[str, str] | None = None


class Authenticator:
    """Checks the credentials in requests of phones. An unknown user is challenged and refused like a known one."""

    def __init__(self, realm: str, accounts: AccountsPort, default_algorithm: str, chance: Chance) -> None:
        self._accounts = accounts
        self._default_algorithm = default_algorithm
        self._chance = chance
        self._digest = DigestServer(realm, chance)
        self._addresses = Addresses(realm, ())
        self._nobody = digest_secret("SHA-256", chance.token(16), realm, chance.token(16))
        self.limiter = GuessLimiter()

    def check(self, request: Request, flow: Flow, now: float) -> Account | Refusal:
        """The account that `request` proves to be, or the answer to send: 401, as a user agent server does (§22.2).

        400 to the right password in credentials that were computed for another request (RFC 7616 §3.4.6).
        """
        fields = self._credentials(request)
        host = flow.remote[0]
        if fields is None:
            return Refusal(self._challenge(request, self._algorithm(request), now))
        user = fields.get("username", "")
        if self.limiter.is_blocked(host, user, now):
            retry = ("Retry-After", str(int(BLOCK_SECONDS)))
            words = f'399 {self._digest.realm} "too many wrong passwords; try again later"'
            response = make_response(request, 403, to_tag=self._chance.token(4), headers=[retry, ("Warning", words)])
            return Refusal(response, incident=("password guessing", f"as {user!r}: not listened to for a while"))
        account = self._accounts.account(user)
        algorithm = account.algorithm if account is not None else self._default_algorithm
        secret = account.secret if account is not None else self._nobody
        verdict = self._digest.check(fields, request.method, secret, algorithm, now)
        if account is not None and verdict.accepted:
            self.limiter.succeed(host, user, now)
            if not is_for_request(fields.get("uri", ""), request, flow, self._addresses):
                return self._refuse_changed(request, user, fields.get("uri", ""))
            return account
        challenge = self._challenge(request, algorithm, now, stale=verdict.stale)
        if verdict.stale:
            return Refusal(challenge)
        return Refusal(challenge, self.limiter.fail(host, user, now), ("wrong password", f"as {user!r}"))

    def _refuse_changed(self, request: Request, user: str, uri: str) -> Refusal:
        words = f'399 {self._digest.realm} "the uri of these credentials is not that of the request"'
        response = make_response(request, 400, to_tag=self._chance.token(4), headers=[("Warning", words)])
        said = f"as {user!r}: {request.method} to {request.uri} with credentials for {uri!r}"
        return Refusal(response, incident=("credentials of another request", said))

    def _algorithm(self, request: Request) -> str:
        """The algorithm of the account that is likely to answer: phones name themselves in From."""
        address = request.from_.uri
        name = getattr(address, "user", None)
        account = self._accounts.account(name) if name else None
        return account.algorithm if account is not None else self._default_algorithm

    def _credentials(self, request: Request) -> dict[str, str] | None:
        """The fields of the credentials for our realm, whichever of the two header fields carries them."""
        for name in ("Authorization", "Proxy-Authorization"):
            for value in request.headers.all(name):
                try:
                    fields = parse_fields(value)
                except SipSyntaxError:
                    continue
                if fields.get("realm") == self._digest.realm:
                    return fields
        return None

    def _challenge(self, request: Request, algorithm: str, now: float, *, stale: bool = False) -> Response:
        challenge = ("WWW-Authenticate", self._digest.challenge(algorithm, now, stale=stale))
        return make_response(request, 401, to_tag=self._chance.token(4), headers=[challenge])
