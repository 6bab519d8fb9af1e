"""Nodes with presence in the world of `tests.calls.world`, and phones that watch and publish."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2psip.calls.ports import Whereabouts
from p2psip.presence.message_summary import Waiting
from p2psip.presence.ports import Mailbox, NoMailbox, Permissions
from p2psip.presence.server import PresenceServer
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ServerExchange
from p2psip.sip.message import Request, Response
from tests.calls.fakes import OVERLAY_NAME, FakeDirectory
from tests.calls.world import Node, Phone, World, world

Hooks = dict[str, list[Callable[[], None]]]
NOTIFY_SECONDS_MAX = 200.0


@dataclass
class Directory:
    """An overlay that tells who watches of each change, unless `is_silent`."""

    below: FakeDirectory
    hooks: Hooks
    is_silent: bool = False
    lookups: int = 0

    async def find_again(self, address: str) -> Whereabouts:
        self.lookups += 1
        return await self.below.find(address)

    def watch(self, address: str, hook: Callable[[], None]) -> Callable[[], None]:
        hooks = self.hooks.setdefault(address, [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    async def publish(self) -> None:
        await FakeDirectory.publish(self.below)
        self._tell()

    async def withdraw(self) -> None:
        await FakeDirectory.withdraw(self.below)
        self._tell()

    def _tell(self) -> None:
        for address in self.below.addresses:
            for hook in [] if self.is_silent else list(self.hooks.get(address, [])):
                hook()


class KeptMessages:
    """A mailbox for tests."""

    def __init__(self) -> None:
        self.counts = Waiting()
        self._hooks: list[Callable[[], None]] = []

    def waiting(self, address: str) -> Waiting:
        assert address.endswith(OVERLAY_NAME)
        return self.counts

    def on_change(self, hook: Callable[[], None]) -> None:
        self._hooks.append(hook)

    def put(self, counts: Waiting) -> None:
        self.counts = counts
        for hook in self._hooks:
            hook()


@dataclass
class Home:
    """One node with presence."""

    node: Node
    presence: PresenceServer
    directory: Directory


@dataclass
class Subscribed:
    """A phone's subscription that was accepted."""

    phone: Phone
    dialog: Dialog
    response: Response
    event: str
    requests: trio.MemoryReceiveChannel[ServerExchange]
    heard: list[Request] = field(default_factory=list)

    async def notified(self, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Request:
        """The next NOTIFY, answered."""
        with trio.fail_after(NOTIFY_SECONDS_MAX):
            exchange = await self.requests.receive()
        assert exchange.request.method == "NOTIFY"
        exchange.respond(make_response(exchange.request, status, headers=headers))
        self.heard.append(exchange.request)
        return exchange.request

    async def quiet(self, seconds: float) -> None:
        """No NOTIFY comes for so long."""
        with trio.move_on_after(seconds):
            exchange = await self.requests.receive()
            raise AssertionError(exchange.request.body)

    async def refresh(self, seconds: int, **more: str) -> Response:
        headers = [("Event", self.event), ("Expires", str(seconds)), *more.items()]
        request = self.dialog.request("SUBSCRIBE", headers=headers)
        return await self.phone.sip.start(request, self.phone.flow).final_response()


@dataclass
class Streets:
    """Everything; made by `streets()`."""

    world: World
    hooks: Hooks = field(default_factory=dict)

    async def home(
        self,
        person: str,
        number: str,
        *,
        permissions: Permissions | None = None,
        mailbox: Mailbox | None = None,
        node_id: str = "",
    ) -> Home:
        node = await self.world.node(person, number, node_id=node_id)
        directory = Directory(node.directory, self.hooks)
        node.directory.publish = directory.publish  # type: ignore[method-assign]
        node.directory.withdraw = directory.withdraw  # type: ignore[method-assign]
        presence = PresenceServer(
            equipment=node.server.equipment,
            permissions=permissions or Permissions(),
            directory=directory,
            bindings=node.server.bindings,
            mailbox=mailbox or NoMailbox(),
            prove=node.server.sender,
        )
        node.server.serve_method("SUBSCRIBE", presence.subscribe)
        node.server.serve_method("PUBLISH", presence.publish)
        await self.world.nursery.start(presence.run)
        return Home(node, presence, directory)

    async def phone(self, home: Home, name: str, port: int, *, registered: bool = True) -> Phone:
        return await self.world.phone(home.node, name, port, registered=registered)


def subscription(phone: Phone, target: str, event: str, seconds: int | None = 600, **more: str) -> Request:
    """A SUBSCRIBE of a phone."""
    headers = [("Contact", phone.contact), ("Event", event), *more.items()]
    if seconds is not None:
        headers.append(("Expires", str(seconds)))
    return phone.request("SUBSCRIBE", target, headers=headers)


async def subscribe(phone: Phone, target: str, event: str, seconds: int | None = 600) -> Subscribed:
    """A subscription that is accepted."""
    request = subscription(phone, target, event, seconds)
    requests = phone.sip.open_dialog((request.call_id, request.from_.tag or "", ""))
    response = await phone.ask(request)
    assert response.status == 200, response.to_bytes()
    accepted = Subscribed(phone, Dialog.of_client(request, response, phone.contact), response, event, requests)
    accepted.dialog.cseq = phone.cseq
    return accepted


def publication(
    phone: Phone, event: str, body: bytes, content_type: str, *, seconds: int | None = 600, if_match: str | None = None
) -> Request:
    """A PUBLISH of a phone."""
    headers = [("Event", event)]
    if seconds is not None:
        headers.append(("Expires", str(seconds)))
    if if_match is not None:
        headers.append(("SIP-If-Match", if_match))
    target = f"sip:{phone.name}@{OVERLAY_NAME}"
    return phone.request("PUBLISH", target, headers=headers, body=body, content_type=content_type if body else None)


@asynccontextmanager
async def streets() -> AsyncIterator[Streets]:
    """A world with presence that ends with the block."""
    async with world() as w:
        yield Streets(w)
