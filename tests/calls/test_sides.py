"""One side of a call: its requests wait until somebody serves them, in order, and so many and no more."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2psip.calls.call_log import CallRecord
from p2psip.calls.sides import Side
from p2psip.sip.build import make_request
from p2psip.sip.dialog import Dialog
from p2psip.sip.dialog_table import DIALOG_QUEUED_MAX, DialogTable
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Response
from p2psip.sip.uri import SipUri

FLOW = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.1", 6000))
PEER, OURS = (NameAddr(None, SipUri.of_address(f"{name}@home.example")).with_tag(name) for name in ("a", "b"))


class Sent:
    """Takes the place of the SIP service: the dialogs, and the statuses that were sent."""

    def __init__(self) -> None:
        self.table = DialogTable()
        self.serve_dialog, self.close_dialog = self.table.serve, self.table.close
        self.statuses: list[int] = []

    def respond(self, _key: str, response: Response) -> None:
        self.statuses.append(response.status)


def one_side() -> tuple[Sent, Side]:
    sip = Sent()
    dialog = Dialog("one", OURS, PEER, PEER.uri, (), 0, None, "<sip:node@127.0.0.1>")
    settings = SimpleNamespace(session_seconds=0, overlay="home.example")
    equipment: Any = SimpleNamespace(
        sip=sip, settings=settings, clock=SimpleNamespace(unix=lambda: 0.0), tag=lambda: "b"
    )
    end: Any = None
    return sip, Side(equipment, CallRecord(1, "a", "b", 0.0), name="phone a", flow=FLOW, end=end, dialog=dialog)


def ask(sip: Any, number: int) -> ServerExchange:
    request = make_request("INFO", PEER.uri, from_=PEER, to=OURS, call_id="one", cseq=number)
    exchange = ServerExchange(str(number), request, FLOW, sip)
    take = sip.table.taker(request, "b")
    assert take is not None
    take(exchange)
    return exchange


async def test_requests_wait_until_somebody_serves_them_so_many_and_no_more() -> None:
    sip, side = one_side()
    asked = [ask(sip, number) for number in range(1, DIALOG_QUEUED_MAX + 1)]
    with pytest.raises(trio.WouldBlock):
        ask(sip, DIALOG_QUEUED_MAX + 1)
    taken: list[ServerExchange] = []
    side.serve(taken.append)
    assert taken == asked
    assert ask(sip, DIALOG_QUEUED_MAX + 2) is taken[-1]


async def test_who_does_not_serve_any_more_does_not_stop_who_came_after() -> None:
    sip, side = one_side()
    first: list[ServerExchange] = []
    then: list[ServerExchange] = []
    side.serve(first.append)
    side.serve(then.append)
    side.leave_waiting(first.append)
    ask(sip, 1)
    side.leave_waiting(then.append)
    ask(sip, 2)
    assert (len(first), len(then)) == (0, 1)
    side.close()
    assert sip.statuses == [481]


async def test_a_request_that_is_older_than_another_is_refused_and_not_given_on() -> None:
    sip, side = one_side()
    taken: list[ServerExchange] = []
    side.serve(taken.append)
    ask(sip, 2)
    ask(sip, 1)
    assert (len(taken), sip.statuses) == (1, [500])
