"""Services and plain sockets on the real loopback, for tests on virtual time."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import trio
from trio.testing import wait_all_tasks_blocked

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.sip.build import make_response
from p2psip.sip.exchange import ClientExchange, ServerExchange
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.service import SipService
from tests.sip.playbook import make_outgoing

CONTACT = "<sip:bob@127.0.0.1>"
LOCALHOST = "127.0.0.1"

_seeds = count(1)


@asynccontextmanager
async def service(host: str = LOCALHOST) -> AsyncIterator[tuple[SipService, Address]]:
    """A service that listens on UDP and TCP, and its address (the one of UDP)."""
    with trio.fail_after(100_000):
        async with trio.open_nursery() as nursery:
            sip = SipService(trio.current_time, Chance.seeded(next(_seeds)))
            await nursery.start(sip.run)
            yield sip, await sip.listen_udp(host, 0)
            nursery.cancel_scope.cancel()


@contextmanager
def plain_socket(host: str = LOCALHOST) -> Iterator[socket.socket]:
    """A UDP socket without a service behind it."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.setblocking(False)
        yield sock


def read_all(sock: socket.socket) -> list[Request | Response]:
    """What has come."""
    found = []
    while True:
        try:
            found.append(parse_message(sock.recv(65_535)))
        except BlockingIOError:
            return found


def reply(exchange: ServerExchange, status: int) -> Response:
    """A response with the tag b and a Contact."""
    return make_response(exchange.request, status, to_tag="b", headers=[("Contact", CONTACT)])


async def ask(sip: SipService, to: Address, method: str = "OPTIONS", transport: str = "udp") -> ClientExchange:
    """A request under way."""
    return sip.start(make_outgoing(method), await sip.connect(transport, to))


async def statuses(phone: socket.socket) -> list[int]:
    """Of the responses that have come, once nothing more happens."""
    await settle()
    return [each.status for each in read_all(phone) if isinstance(each, Response)]


async def settle() -> None:
    """Until nothing more happens without the clock."""
    await wait_all_tasks_blocked(0.01)
