"""Which failure is told, and in what words."""

import pytest

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import WORDS_CHARACTERS_MAX, Failure, best_failure, reason_header, refuse
from p2psip.sip.build import make_request, make_response
from p2psip.sip.headers import NameAddr
from p2psip.sip.parser import parse_message
from p2psip.sip.uri import SipUri

ALICE = NameAddr(None, SipUri.parse("sip:a@h")).with_tag("1")
REQUEST = make_request("INVITE", SipUri.parse("sip:b@h"), from_=ALICE, to=ALICE, call_id="c", cseq=1)
REQUEST.headers.insert_first("Via", "SIP/2.0/UDP h;branch=z9hG4bK1")


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ([486, 603, 408], 603),
        ([480, 486], 486),
        ([408, 486, 503], 486),
        ([500, 404], 404),
        ([503, 500], 500),
        ([408, 503], 408),
        ([488, 415, 486], 415),
        ([487, 408], 408),
        ([], 480),
    ],
)
def test_the_best_failure(statuses: list[int], best: int) -> None:
    assert best_failure([Failure(status) for status in statuses]).status == best


@pytest.mark.parametrize(("status", "told"), [(302, 480), (401, 480), (407, 480), (486, 486), (699, 699)])
def test_what_is_passed_on(status: int, told: int) -> None:
    response = make_response(REQUEST, status, "x", headers=[("Warning", '399 h "so there"')])
    failure = Failure.of_response(response)
    assert failure.status == told
    assert failure.words


def test_errors_become_failures() -> None:
    assert Failure.of_error(RemoteError("no", status=404)) == Failure(404, "no")
    assert Failure.of_error(RemoteError("no", status=200)).status == 500


def test_a_refusal_says_why_in_words_that_fit_a_header() -> None:
    response = refuse(REQUEST, Failure(503, 'a "quote"\r\nInjected: yes' + "x" * 500), "home.example", to_tag="t")
    parsed = parse_message(response.to_bytes())
    assert "Injected" not in parsed.headers
    assert parsed.headers.get("Retry-After")
    warning = parsed.headers.get("Warning") or ""
    assert warning.startswith("399 home.example \"a 'quote'")
    assert len(warning) < WORDS_CHARACTERS_MAX + 30
    assert refuse(REQUEST, Failure(405), "h", to_tag="t").headers.get("Allow")


def test_reasons() -> None:
    assert reason_header(487) == ("Reason", 'SIP;cause=487;text="Request Terminated"')
    assert reason_header(503, 'the "end"') == ("Reason", "SIP;cause=503;text=\"the 'end'\"")
