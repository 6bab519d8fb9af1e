"""Who is calling whom, as it is said to and by a provider.

RFC 3325 (P-Asserted-Identity, P-Preferred-Identity), RFC 3323 (Privacy), RFC 7315 §4.2 (P-Called-Party-ID). A provider is believed
in what it asserts, for it proved to be the one that was configured; yet a number that it shows is no proof of who is calling.
"""

from dataclasses import dataclass

from p2psip.base.errors import RemoteError
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.headers import NameAddr, parse_name_addrs
from p2psip.sip.message import Request
from p2psip.sip.uri import OtherUri, SipUri, escape_user, unescape
from p2psip.trunks.numbering import readings, written
from p2psip.trunks.trunk import Trunk

ANONYMOUS = "anonymous@anonymous.invalid"
IDENTITIES_MAX = 4

_PRIVATE = frozenset(("id", "user", "header"))


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a provider is told about a caller of ours: From (without tag), and further header fields."""

    from_: NameAddr
    headers: tuple[tuple[str, str], ...] = ()


def present(trunk: Trunk, who: tuple[str, ...], request: Request) -> Presentation:
    """How to show a caller; `who` are the names of theirs that `caller_ids` may hold, the narrowest first.

    A phone may choose among its allowed numbers by P-Preferred-Identity, and ask not to be shown by Privacy or an anonymous From.
    """
    number = _shown_number(trunk, who, request)
    shown = _uri(trunk, written(number, trunk.number_style, trunk.country) if number else trunk.user)
    account = _uri(trunk, trunk.user)
    if wants_privacy(request):
        anonymous = NameAddr("Anonymous", SipUri.of_address(ANONYMOUS))
        field = "P-Asserted-Identity" if trunk.identity == "asserted" else "P-Preferred-Identity"
        return Presentation(anonymous, ((field, f"<{shown}>"), ("Privacy", "id")))
    if trunk.identity == "from" or number is None:
        return Presentation(NameAddr(None, shown))
    field = "P-Asserted-Identity" if trunk.identity == "asserted" else "P-Preferred-Identity"
    return Presentation(NameAddr(None, account), ((field, f"<{shown}>"),))


def wants_privacy(request: Request) -> bool:
    """Whether a caller asks not to be shown (RFC 3323 §4.1, §4.2)."""
    asked = {word.strip().lower() for value in request.headers.all("Privacy") for word in value.split(";")}
    uri = request.from_.uri
    return bool(asked & _PRIVATE) or (isinstance(uri, SipUri) and uri.host.lower() == "anonymous.invalid")


def caller_of(trunk: Trunk, request: Request) -> tuple[str, str | None]:
    """Who calls through a trunk: (`number@domain`, the name to display). The domain is the provider's, so it is nobody of ours."""
    if wants_privacy(request):
        return ANONYMOUS, "Anonymous"
    asserted = _addresses(request, "P-Asserted-Identity")
    named = asserted[0] if asserted else request.from_
    user = _user(named.uri)
    if not user or user.lower() == "anonymous":
        return ANONYMOUS, "Anonymous"
    found = readings(user, trunk.country)
    display = named.display or request.from_.display
    return f"{found[0] if found and trunk.country else user}@{trunk.domain}", display


def callee_of(trunk: Trunk, request: Request) -> str:
    """Whose number was called: by the Request-URI, else P-Called-Party-ID, else To; RemoteError(404) when it is nobody's."""
    named = [_user(request.uri)]
    named += [_user(each.uri) for each in _addresses(request, "P-Called-Party-Id")]
    named.append(_user(request.to.uri))
    for user in named:
        for number in (user, *readings(user, trunk.country)):
            if number in trunk.numbers:
                return trunk.numbers[number]
    if trunk.default is not None:
        return trunk.default
    shown = next((user for user in named if user and user != trunk.user), trunk.user)
    raise RemoteError(f"the number {shown} of trunk {trunk.name} is nobody's here", status=404)


def _shown_number(trunk: Trunk, who: tuple[str, ...], request: Request) -> str | None:
    allowed = next((trunk.caller_ids[name] for name in who if name in trunk.caller_ids), ())
    for wish in _addresses(request, "P-Preferred-Identity"):
        for number in readings(_user(wish.uri), trunk.country):
            if number in allowed:
                return number
    return allowed[0] if allowed else trunk.caller_id


def _addresses(request: Request, field: str) -> list[NameAddr]:
    try:
        return list(parse_name_addrs(request.headers.all(field)))[:IDENTITIES_MAX]
    except SipSyntaxError:
        return []


def _user(uri: SipUri | OtherUri) -> str:
    if isinstance(uri, OtherUri):
        return uri.rest.partition(";")[0] if uri.scheme == "tel" else ""
    return unescape(uri.user or "").partition(";")[0]


def _uri(trunk: Trunk, user: str) -> SipUri:
    return SipUri("sip", escape_user(user) if user else None, None, trunk.domain, None)
