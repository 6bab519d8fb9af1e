"""What a REFER asks for: what is read, and that garbage gives an error of SIP and nothing else."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.calls import referral
from p2psip.calls.referral import Referral, Reports
from p2psip.calls.replacing import Replaces
from p2psip.sip.build import make_request
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request, Response
from p2psip.sip.uri import OtherUri, SipUri

ALICE = NameAddr(None, SipUri.parse("sip:alice@home.example"))


def refer(*headers: tuple[str, str]) -> Request:
    return make_request("REFER", ALICE.uri, from_=ALICE, to=ALICE, call_id="1", cseq=1, headers=headers)


def test_a_target_with_and_without_a_call_to_replace() -> None:
    plain = Referral.of_request(refer(("r", "Carol <sip:carol@home.example;method=INVITE;transport=tcp>;x=y")))
    assert plain == Referral(SipUri.parse("sip:carol@home.example;transport=tcp"), None, True)
    attended = Referral.of_request(
        refer(("Refer-To", "<sip:carol@home.example?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&Route=x>"))
    )
    assert attended == Referral(SipUri.parse("sip:carol@home.example"), Replaces("a", "1", "2"), True)
    assert Referral.of_request(refer(("Refer-To", "<tel:+4930123456>"))).target == OtherUri("tel", "+4930123456")


@pytest.mark.parametrize(("value", "wanted"), [("false", False), ("FALSE;x=y", False), ("true", True), ("?", True)])
def test_reports_are_wanted_unless_said_otherwise(value: str, wanted: bool) -> None:
    request = refer(("Refer-To", "<sip:carol@home.example>"), ("Refer-Sub", value))
    assert Referral.of_request(request).wants_reports is wanted


class Answers:
    """Takes NOTIFY and answers 200 at once."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def send(self, _method: str, _headers: list[tuple[str, str]], body: bytes, _kind: str) -> "Answers":
        self.bodies.append(body.decode().strip())
        return self

    async def final_response(self) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, "OK")


async def test_reports_that_wait_are_bounded_but_the_last_is_told() -> None:
    answers = Answers()
    reports = Reports(answers.send, "refer", is_wanted=True)  # type: ignore[arg-type]
    for _ in range(referral.REPORTS_QUEUED_MAX):
        reports.tell(180)
        reports.tell(183)
    reports.tell(200)
    reports.tell(486)
    await reports.run()
    assert len(answers.bodies) == referral.REPORTS_QUEUED_MAX + 1
    assert answers.bodies[:2] == ["SIP/2.0 180 Ringing", "SIP/2.0 183 Session Progress"]
    assert answers.bodies[-1] == "SIP/2.0 200 OK"


async def test_a_reason_that_is_no_text_is_told_as_far_as_it_is() -> None:
    answers = Answers()
    reports = Reports(answers.send, "refer", is_wanted=True)  # type: ignore[arg-type]
    reports.tell(486, "Besch\udcffftigt")
    await reports.run()
    assert answers.bodies == ["SIP/2.0 486 Besch?ftigt"]


@given(st.text(max_size=120) | st.from_regex(r"<sips?:[a-z@.;=?&%0-9]{0,60}>", fullmatch=True))
def test_garbage_is_refused_and_nothing_else(value: str) -> None:
    try:
        found = Referral.of_request(refer(("Refer-To", value)))
    except RemoteError:
        return
    assert isinstance(found.target, (SipUri, OtherUri))
