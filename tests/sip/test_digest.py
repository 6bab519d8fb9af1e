"""Digest authentication: the published vectors, both sides against each other, expiry, replay, forgery, bounds."""

import pytest

from p2psip.base.chance import Chance
from p2psip.sip.digest import (
    FIELDS_MAX,
    NONCE_SECONDS_MAX,
    NONCES_REMEMBERED_MAX,
    Challenge,
    DigestServer,
    Verdict,
    digest_secret,
    format_fields,
    parse_fields,
    respond,
)
from p2psip.sip.errors import SipSyntaxError

REALM, USER, PASSWORD, URI = "home.example", "alice", "wonder", "sip:home.example"
ACCEPTED, WRONG, STALE = Verdict(True), Verdict(False), Verdict(False, stale=True)


class _Phone:
    """A phone that knows the password and counts its requests."""

    def __init__(self, challenge: str, *, password: str = PASSWORD) -> None:
        self.challenge = Challenge.parse(challenge)
        self.password = password
        self.count = 0

    def answer(self, *, count: int | None = None, method: str = "REGISTER") -> dict[str, str]:
        self.count = self.count + 1 if count is None else count
        return parse_fields(
            respond(
                self.challenge,
                method=method,
                uri=URI,
                user=USER,
                password=self.password,
                cnonce="0a4f113b",
                nonce_count=self.count,
            )
        )


def _check(server: DigestServer, fields: dict[str, str], now: float, algorithm: str = "SHA-256") -> Verdict:
    return server.check(fields, "REGISTER", digest_secret(algorithm, USER, REALM, PASSWORD), algorithm, now)


@pytest.fixture
def server() -> DigestServer:
    return DigestServer(REALM, Chance.seeded(7))


# Published vectors


def test_the_example_of_rfc_2617_3_5() -> None:
    challenge = Challenge.parse(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    found = parse_fields(
        respond(
            challenge, method="GET", uri="/dir/index.html", user="Mufasa", password="Circle Of Life", cnonce="0a4f113b"
        )
    )
    assert found["response"] == "6629fae49393a05397450978507c4ef1"
    assert (found["qop"], found["nc"], found["opaque"]) == ("auth", "00000001", "5ccc069c403ebaf9f0171e9517f40e41")


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_3_9_1(algorithm: str, response: str) -> None:
    challenge = Challenge.parse(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm},'
        ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    found = respond(
        challenge,
        method="GET",
        uri="/dir/index.html",
        user="Mufasa",
        password="Circle of Life",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert parse_fields(found) == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "uri": "/dir/index.html",
        "response": response,
        "algorithm": algorithm,
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
        "nc": "00000001",
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }


def test_a_challenge_without_qop_is_answered_as_in_rfc_2069() -> None:
    challenge = Challenge.parse('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    found = parse_fields(
        respond(challenge, method="GET", uri="/dir/index.html", user="Mufasa", password="CircleOfLife", cnonce="x")
    )
    assert found["response"] == "1949323746fe6a43ef61f9606e7febea"  # RFC 2069 §2.4 with the erratum 749
    assert {"qop", "nc", "cnonce"}.isdisjoint(found)


# The fields


def test_fields_are_read_in_any_spelling_and_order() -> None:
    assert parse_fields('dIgEsT  Realm = "a, \\"b\\"" ,NC=00000001,x-y="",') == {
        "realm": 'a, "b"',
        "nc": "00000001",
        "x-y": "",
    }


def test_fields_are_quoted_as_rfc_3261_wants() -> None:
    text = format_fields({"realm": 'a"b\\', "algorithm": "MD5", "qop": "auth", "nc": "00000001", "stale": "true"})
    assert text == 'Digest realm="a\\"b\\\\", algorithm=MD5, qop=auth, nc=00000001, stale=true'
    assert parse_fields(text)["realm"] == 'a"b\\'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic YTpi",
        "NoOneKnowsThisScheme opaque-data=here",
        "Digestrealm=x",
        "Digest realm",
        "Digest realm=",
        'Digest realm="x',
        "Digest a=b c=d",
        "Digest a=b,,c=d",
        "Digest ,a=b",
        "Digest a=b, A=c",
        'Digest realm="a", Digest realm="b"',
        'Digest a="' + "\\a" * 30_000,
        "Digest a" + " " * 30_000 + "b",
    ],
)
def test_what_are_no_digest_fields_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        parse_fields(text)


def test_there_may_be_so_many_fields_and_no_more() -> None:
    fields = [f"f{n}=1" for n in range(FIELDS_MAX + 1)]
    assert len(parse_fields("Digest " + ",".join(fields[1:]))) == FIELDS_MAX
    with pytest.raises(SipSyntaxError):
        parse_fields("Digest " + ",".join(fields))


@pytest.mark.parametrize(
    "text",
    [
        'Digest realm="r", nonce="n", algorithm=SHA-1',
        'Digest realm="r", nonce="n", algorithm=MD5-sess',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r"',
        'Digest realm="r", nonce=""',
        'Digest nonce="n"',
    ],
)
def test_a_challenge_that_cannot_be_answered_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        Challenge.parse(text)


def test_a_challenge_is_md5_unless_it_says_otherwise() -> None:
    assert Challenge.parse('Digest realm="r", nonce="n"') == Challenge("r", "n", "MD5", False, None, False)
    assert Challenge.parse('Digest realm="r",nonce="n",algorithm=sha-256,stale=TRUE,qop=auth,opaque=""') == Challenge(
        "r", "n", "SHA-256", True, "", True
    )


# The server


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_both_algorithms_are_offered_and_either_is_accepted(server: DigestServer, algorithm: str) -> None:
    offered = [server.challenge(name, 10.0) for name in ("SHA-256", "MD5")]  # the preferred one first, RFC 8760 §2.4
    chosen = next(text for text in offered if Challenge.parse(text).algorithm == algorithm)
    assert 'qop="auth"' in chosen
    assert _check(server, _Phone(chosen).answer(), 11.0, algorithm) == ACCEPTED


def test_the_hash_of_one_algorithm_is_not_taken_for_the_other(server: DigestServer) -> None:
    answer = _Phone(server.challenge("MD5", 10.0)).answer()
    assert _check(server, answer, 11.0, "SHA-256") == WRONG
    assert _check(server, answer | {"algorithm": "SHA-256"}, 11.0, "SHA-256") == WRONG


def test_no_two_challenges_share_a_nonce(server: DigestServer) -> None:
    assert len({Challenge.parse(server.challenge("MD5", 10.0)).nonce for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "change",
    [
        {"realm": "other.example"},
        {"response": "0" * 64},
        {"response": ""},
        {"response": "\udcff" * 64},
        {"response": "é"},
        {"uri": "sip:other.example"},
        {"cnonce": "other"},
        {"cnonce": ""},
        {"nc": "00000002"},
        {"nc": "1"},
        {"nc": ""},
        {"nc": "0000000g"},
        {"qop": "auth-int"},
        {"qop": ""},
        {"algorithm": "SHA-512-256"},
        {"nonce": "other"},
        {"nonce": ""},
    ],
)
def test_a_changed_answer_is_refused_and_is_not_stale(server: DigestServer, change: dict[str, str]) -> None:
    answer = _Phone(server.challenge("SHA-256", 10.0)).answer()
    assert _check(server, answer | change, 11.0) == WRONG


def test_a_wrong_password_is_refused_even_with_a_stale_nonce(server: DigestServer) -> None:
    phone = _Phone(server.challenge("SHA-256", 10.0), password="wrong")
    assert _check(server, phone.answer(), 11.0) == WRONG
    assert _check(server, phone.answer(), 11.0 + NONCE_SECONDS_MAX) == WRONG


def test_an_answer_for_another_method_is_refused(server: DigestServer) -> None:
    assert _check(server, _Phone(server.challenge("SHA-256", 10.0)).answer(method="INVITE"), 11.0) == WRONG


def test_an_answer_without_any_field_is_refused(server: DigestServer) -> None:
    assert _check(server, {}, 11.0) == WRONG


def test_a_response_in_upper_case_is_accepted(server: DigestServer) -> None:
    answer = _Phone(server.challenge("SHA-256", 10.0)).answer()
    assert _check(server, answer | {"response": answer["response"].upper()}, 11.0) == ACCEPTED


def test_a_nonce_lives_so_long_and_then_is_stale(server: DigestServer) -> None:
    phone = _Phone(server.challenge("SHA-256", 10.0))
    assert _check(server, phone.answer(), 10.0) == ACCEPTED
    assert _check(server, phone.answer(), 9.9 + NONCE_SECONDS_MAX) == ACCEPTED
    assert _check(server, phone.answer(), 10.1 + NONCE_SECONDS_MAX) == STALE
    again = _Phone(server.challenge("SHA-256", 311.0, stale=True))
    assert again.challenge.stale
    assert _check(server, again.answer(), 311.0) == ACCEPTED


def test_a_nonce_of_the_future_is_stale(server: DigestServer) -> None:
    assert _check(server, _Phone(server.challenge("SHA-256", 10.0)).answer(), 9.0) == STALE


@pytest.mark.parametrize(
    "nonce", ["2710-1-" + "0" * 32, "x", "2710-1", "2710--" + "0" * 32, "-1-2-3", "\udcff", "é", "F" * 99]
)
def test_a_forged_nonce_is_not_accepted(server: DigestServer, nonce: str) -> None:
    forged = Challenge(REALM, nonce, "SHA-256", True, None, False)
    fields = respond(forged, method="REGISTER", uri=URI, user=USER, password=PASSWORD, cnonce="c")
    assert _check(server, parse_fields(fields), 10.0) == STALE


def test_the_nonce_of_another_server_is_not_accepted(server: DigestServer) -> None:
    other = DigestServer(REALM, Chance.seeded(8))
    assert _check(server, _Phone(other.challenge("SHA-256", 10.0)).answer(), 10.0) == STALE


def test_a_replay_is_not_accepted(server: DigestServer) -> None:
    phone = _Phone(server.challenge("SHA-256", 10.0))
    first, second = phone.answer(), phone.answer()
    assert _check(server, second, 10.0) == ACCEPTED
    assert _check(server, second, 10.0) == STALE
    assert _check(server, first, 10.0) == STALE
    assert _check(server, phone.answer(), 10.0) == ACCEPTED
    assert _check(server, phone.answer(count=0xFFFFFFFF), 10.0) == ACCEPTED


def test_a_nonce_count_of_zero_is_not_accepted(server: DigestServer) -> None:
    assert _check(server, _Phone(server.challenge("SHA-256", 10.0)).answer(count=0), 10.0) == STALE


def test_so_many_nonces_are_remembered_and_a_forgotten_one_cannot_be_replayed(server: DigestServer) -> None:
    first = _Phone(server.challenge("SHA-256", 10.0))
    replayed = first.answer()
    assert _check(server, replayed, 10.0) == ACCEPTED
    for _ in range(NONCES_REMEMBERED_MAX - 1):
        assert _check(server, _Phone(server.challenge("SHA-256", 11.0)).answer(), 11.0) == ACCEPTED
    assert _check(server, replayed, 11.0) == STALE
    assert _check(server, _Phone(server.challenge("SHA-256", 11.0)).answer(), 11.0) == ACCEPTED
    assert _check(server, replayed, 11.0) == STALE
    assert _check(server, first.answer(), 11.0) == STALE
    assert _check(server, _Phone(server.challenge("SHA-256", 12.0)).answer(), 12.0) == ACCEPTED
