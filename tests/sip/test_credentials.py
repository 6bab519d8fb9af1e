"""Our side of authentication: which challenge is answered, how often, and what is said when it is not."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.chance import Chance
from p2psip.sip.build import make_request, make_response
from p2psip.sip.credentials import CHALLENGED_MAX, REALMS_MAX, Authorisation, Credentials
from p2psip.sip.dialog import Dialog
from p2psip.sip.digest import CHALLENGES_MAX, Challenge, DigestServer, digest_secret, parse_fields, respond
from p2psip.sip.digest import strongest_challenges as strongest
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.exchange import ClientExchange
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import SipUri

REALM, USER, PASSWORD = "provider.example", "4930123", "s3cret"


def _request(method: str = "REGISTER") -> Request:
    uri = SipUri.parse("sip:provider.example")
    me = NameAddr(None, SipUri.parse("sip:4930123@provider.example"))
    return make_request(method, uri, from_=me.with_tag("t"), to=me, call_id="c", cseq=1)


def _challenged(*values: str, status: int = 401) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return make_response(_request(), status, to_tag="x", headers=[(name, value) for value in values])


def _digest(realm: str = REALM, nonce: str = "n", **more: str) -> str:
    text = f'Digest realm="{realm}", nonce="{nonce}", qop="auth"'
    return text + "".join(f", {name}={value}" for name, value in more.items())


class _Numbers:
    def __init__(self) -> None:
        self.last = 1

    def __call__(self) -> int:
        self.last += 1
        return self.last


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(USER, PASSWORD, Chance.seeded(1))


@pytest.fixture
def answer(credentials: Credentials) -> Authorisation:
    return Authorisation(credentials, _Numbers())


def test_the_example_of_rfc_7616_3_9_2_as_erratum_4897_corrects_it() -> None:
    challenge = Challenge.parse(
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, charset=UTF-8, userhash=true,'
        ' nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK"'
    )
    cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    found = respond(
        challenge,
        method="GET",
        uri="/doe.json",
        user="J\u00e4s\u00f8n Doe",
        password="Secret, or not?",
        cnonce=cnonce,
    )
    assert parse_fields(found)["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_a_server_accepts_the_answer_and_each_later_one(credentials: Credentials, algorithm: str) -> None:
    server = DigestServer(REALM, Chance.seeded(2))
    secret = digest_secret(algorithm, USER, REALM, PASSWORD)
    again = Authorisation(credentials, _Numbers())(_request(), _challenged(server.challenge(algorithm, 0.0)))
    assert again is not None
    assert again.cseq.number == 2
    for count in range(1, 4):
        fields = parse_fields(again.headers.get("Authorization") or "")
        assert fields["nc"] == f"{count:08x}"
        assert server.check(fields, "REGISTER", secret, algorithm, 1.0).accepted
        credentials.prepare(again)
        assert len(again.headers.all("Authorization")) == 1


def test_of_several_challenges_the_strongest_is_answered(answer: Authorisation) -> None:
    values = [_digest(algorithm=name) for name in ("MD5", "SHA-512-256", "SHA-256", "SHA-1024")]
    again = answer(_request(), _challenged(*values))
    assert again is not None
    assert parse_fields(again.headers.get("Authorization") or "")["algorithm"] == "SHA-512-256"


def test_a_proxy_is_answered_in_its_own_field_and_beside_the_server(answer: Authorisation) -> None:
    first = answer(_request(), _challenged(_digest("proxy.example"), status=407))
    assert first is not None
    second = answer(first, _challenged(_digest()))
    assert second is not None
    assert parse_fields(second.headers.get("Proxy-Authorization") or "")["realm"] == "proxy.example"
    assert parse_fields(second.headers.get("Authorization") or "")["realm"] == REALM
    assert second.cseq.number == 3


def test_a_challenge_that_is_repeated_means_a_wrong_password(answer: Authorisation) -> None:
    first = answer(_request(), _challenged(_digest(nonce="1")))
    assert first is not None
    assert answer(first, _challenged(_digest(nonce="2"))) is None
    assert answer.failure == 'the password of user "4930123" is refused in the realm "provider.example"'


def test_a_stale_nonce_is_replaced_and_counts_anew(answer: Authorisation) -> None:
    first = answer(_request(), _challenged(_digest(nonce="1")))
    assert first is not None
    again = answer(first, _challenged(_digest(nonce="2", stale="true")))
    assert again is not None
    fields = parse_fields(again.headers.get("Authorization") or "")
    assert (fields["nonce"], fields["nc"]) == ("2", "00000001")


def test_a_nonce_that_the_server_forgot_without_saying_stale_is_no_wrong_password(credentials: Credentials) -> None:
    Authorisation(credentials, _Numbers())(_request(), _challenged(_digest(nonce="1")))
    later = _request()
    credentials.prepare(later)
    assert Authorisation(credentials, _Numbers())(later, _challenged(_digest(nonce="2"))) is not None


def test_a_loop_of_stale_nonces_ends(answer: Authorisation) -> None:
    request = _request()
    for number in range(CHALLENGED_MAX):
        again = answer(request, _challenged(_digest(nonce=str(number), stale="true")))
        assert again is not None
        request = again
    assert answer(request, _challenged(_digest(nonce="last", stale="true"))) is None
    assert "again and again" in answer.failure


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (['Digest realm="r", nonce="n", qop="auth-int"'], "auth-int"),
        (['Digest realm="r", nonce="n", algorithm=SHA-1'], "SHA-1"),
        (["Basic realm=r"], "other than Digest"),
        ([], "without a challenge"),
    ],
)
def test_what_cannot_be_answered_is_said_in_words(answer: Authorisation, values: list[str], words: str) -> None:
    assert answer(_request(), _challenged(*values)) is None
    assert words in answer.failure


def test_challenges_and_realms_have_a_bound(credentials: Credentials) -> None:
    values = [_digest(f"r{number}") for number in range(CHALLENGES_MAX + 1)]
    assert len(strongest(values)) == CHALLENGES_MAX
    again = Authorisation(credentials, _Numbers())(_request(), _challenged(*values))
    assert again is not None
    assert len(again.headers.all("Authorization")) == REALMS_MAX


def test_requests_of_a_dialog_answer_at_once_and_number_their_repetitions(credentials: Credentials) -> None:
    invite = _request("INVITE")
    credentials.attach(invite)
    assert invite.authorise is not None
    again = invite.authorise(invite, _challenged(_digest()))
    assert again is not None
    dialog = Dialog.of_client(again, make_response(again, 200, to_tag="x"), "<sip:me@192.0.2.1>")
    bye = dialog.request("BYE")
    assert bye.cseq.number == 3
    assert parse_fields(bye.headers.get("Authorization") or "")["nc"] == "00000002"
    assert bye.authorise is not None
    repeated = bye.authorise(bye, _challenged(_digest(nonce="2", stale="true")))
    assert repeated is not None
    assert repeated.cseq.number == 4
    assert dialog.request("INFO").cseq.number == 5


def test_the_password_is_in_no_text(credentials: Credentials) -> None:
    assert PASSWORD not in repr(credentials)


@given(st.lists(st.text(max_size=80), max_size=4))
def test_any_text_gives_challenges_or_an_error(values: list[str]) -> None:
    with contextlib.suppress(SipSyntaxError):
        assert strongest([f"Digest {value}" for value in values])


class _Sender:
    """Takes what an exchange sends."""

    def __init__(self) -> None:
        self.repeated: list[Request] = []
        self.acks: list[Request] = []

    def repeat(self, exchange: ClientExchange, request: Request) -> None:
        exchange.request = request
        self.repeated.append(request)

    def cancel(self, key: str) -> None:
        pass

    def send_ack(self, ack: Request, flow: Flow) -> bytes:
        self.acks.append(ack)
        return b""


def _exchange(answer: Authorisation) -> tuple[ClientExchange, _Sender]:
    sender = _Sender()
    flow = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.1", 5070))
    request = _request("INVITE")
    request.authorise = answer
    return ClientExchange(request, flow, sender), sender  # type: ignore[arg-type]


async def test_an_exchange_answers_and_gives_only_what_came_of_it(answer: Authorisation) -> None:
    exchange, sender = _exchange(answer)
    exchange.feed(_challenged(_digest(), status=407))
    assert len(sender.repeated) == 1
    response = make_response(exchange.request, 200, to_tag="x")
    exchange.feed(response)
    assert (await exchange.final_response()).status == 200
    exchange.acknowledge(response, make_response_ack(exchange.request))
    assert sender.acks[0].headers.get("Proxy-Authorization") == exchange.request.headers.get("Proxy-Authorization")


def make_response_ack(invite: Request) -> Request:
    return make_request("ACK", invite.uri, from_=invite.from_, to=invite.to, call_id="c", cseq=invite.cseq.number)


async def test_what_was_cancelled_is_not_tried_again(answer: Authorisation) -> None:
    exchange, sender = _exchange(answer)
    exchange.cancel()
    exchange.feed(_challenged(_digest()))
    assert not sender.repeated
    assert (await exchange.final_response()).status == 401
