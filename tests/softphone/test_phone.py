"""The softphone: what may be dialled, and that a server which never stops asking for a password is left."""

from typing import Any

import pytest
import trio

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_response
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.softphone.phone import CHALLENGES_MAX, Credentials, Softphone

FLOW = Flow("udp", ("127.0.0.1", 5062), ("127.0.0.1", 5060))
CREDENTIALS = Credentials("desk", "alice@home.example", "secret", FLOW.remote)


class FakeExchange:
    """One request with its one final response."""

    def __init__(self, request: Request, response: Response) -> None:
        self.request, self.flow, self.key, self._response = request, FLOW, None, response

    async def next_response(self) -> Response:
        await trio.lowlevel.checkpoint()
        return self._response

    async def final_response(self) -> Response:
        return await self.next_response()


class FakeSip:
    """A server that answers each request with the next of `statuses`, the last of them for ever."""

    def __init__(self, *statuses: int, stale: bool = False) -> None:
        self.requests: list[Request] = []
        self._statuses = statuses
        self._stale = stale

    async def connect(self, _transport: str, _remote: Any) -> Flow:
        return FLOW

    def start(self, request: Request, _flow: Flow) -> FakeExchange:
        status = self._statuses[min(len(self.requests), len(self._statuses) - 1)]
        self.requests.append(request)
        stale = ", stale=true" if self._stale else ""
        challenge = f'Digest realm="home.example", nonce="n{len(self.requests)}", qop="auth", algorithm=MD5{stale}'
        headers = [("WWW-Authenticate", challenge)] if status == 401 else []
        return FakeExchange(request, make_response(request, status, to_tag="t", headers=headers))


def phone(sip: Any) -> Softphone:
    audio: Any = None
    return Softphone(CREDENTIALS, sip, audio, Chance.seeded(1))


async def test_a_challenge_is_answered_in_the_same_series() -> None:
    sip = FakeSip(401, 200)
    assert (await phone(sip).register()).status == 200
    first, second = sip.requests
    assert first.headers.get("Authorization") is None
    assert 'username="desk"' in (second.headers.get("Authorization") or "")
    assert "secret" not in (second.headers.get("Authorization") or "")
    assert (second.call_id, second.cseq.number) == (first.call_id, first.cseq.number + 1)


async def test_a_wrong_password_is_tried_once() -> None:
    sip = FakeSip(401)
    with pytest.raises(RemoteError, match="401") as caught:
        await phone(sip).register()
    assert caught.value.status == 401
    assert len(sip.requests) == 2


async def test_one_challenge_over_the_bound_is_not_answered() -> None:
    sip = FakeSip(401, stale=True)
    with pytest.raises(RemoteError, match="again and again"):
        await phone(sip).register()
    assert len(sip.requests) == CHALLENGES_MAX + 1


@pytest.mark.parametrize("target", ["", " ", "bob smith", "<bob>", 'b"b', "bob\r\nEvil: yes"])
async def test_what_cannot_be_dialled(target: str) -> None:
    sip = FakeSip(200)
    with pytest.raises(RemoteError, match="cannot be dialled"):
        await phone(sip).send_text(target, "hello")
    assert sip.requests == []


@pytest.mark.parametrize("target", ["bob", "bob@home.example", "sip:bob@home.example", "SIP:bob"])
async def test_what_is_dialled_is_a_whole_address(target: str) -> None:
    sip = FakeSip(200)
    await phone(sip).send_text(target, "hello")
    assert str(sip.requests[0].uri) == "sip:bob@home.example"


@pytest.mark.parametrize(
    ("target", "user"),
    [
        ("+44 20 7946-0018", "+442079460018"),
        ("tel:+44 20 7946 0018;phone-context=x", "+442079460018"),
        ("sip:+44 20 7946 0018", "+442079460018"),
        (" 1001 ", "1001"),
        ("*74 7#", "*747%23"),
    ],
)
async def test_numbers_are_dialled_as_people_write_them(target: str, user: str) -> None:
    sip = FakeSip(200)
    await phone(sip).send_text(target, "hello")
    assert str(sip.requests[0].uri) == f"sip:{user}@home.example"


async def test_a_number_with_a_zero_in_brackets_is_not_dialled() -> None:
    sip = FakeSip(200)
    with pytest.raises(RemoteError, match="leave out"):
        await phone(sip).send_text("+44 (0)20 7946 0018", "hello")
    assert sip.requests == []
