"""Stand-ins for the media plane, the overlay and the accounts."""

from dataclasses import dataclass, field, replace
from typing import Any

import trio

from media.legs import NETWORK_CHANGED, LegStatistics, Sink
from media.phone_dtls import DtlsPeer
from media.secure import TransportDescription
from media.srtp import SrtpKeys
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.calls.ports import Account, Whereabouts
from p2psip.sip.digest import digest_secret

OVERLAY_NAME = "home.example"
FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
PASSWORD = "correct horse"


class FakeLeg:
    """A media leg that counts, whichever kind."""

    def __init__(self, number: int) -> None:
        self.statistics = LegStatistics()
        self.local: Address = ("127.0.0.1", 20_000 + 2 * number)
        self.description = TransportDescription(
            f"u{number}", f"p{number}", ("c 1 udp 1 ::1 1 typ host",), "sha-256 AA", ""
        )
        self.remotes: list[object] = []
        self.keys: SrtpKeys | None = None
        self.dtls: DtlsPeer | None = None
        self.is_raw = False
        self.sink: Sink | None = None
        self.packets: list[bytes] = []
        self.is_closed = False
        self.lost = trio.Event()
        self.restarts = 0
        self._wants_restart, self._wish = False, trio.Event()
        self._why = ""

    def set_remote(self, remote: object, *_host: str, rtcp: Address | None = None) -> None:
        self.remotes.append(remote)

    def set_keys(self, keys: SrtpKeys | None) -> None:
        self.keys = keys

    @property
    def fingerprint(self) -> str:
        return FINGERPRINT

    def set_raw(self, is_raw: bool) -> None:
        self.is_raw = is_raw

    def start_dtls(self, peer: DtlsPeer) -> None:
        self.dtls = peer

    def send(self, packet: bytes) -> None:
        self.packets.append(packet)

    def connect(self, sink: Sink | None) -> None:
        self.sink = sink

    async def wait_connected(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_lost(self) -> str:
        await self.lost.wait()
        return "the other node does not answer any more"

    async def wait_restart_wanted(self) -> str:
        while not self._wants_restart:
            await self._wish.wait()
        return self._why

    def want_restart(self, why: str = NETWORK_CHANGED) -> None:
        self._why = why
        self._wants_restart = True
        self._wish.set()
        self._wish = trio.Event()

    def restart(self) -> TransportDescription:
        self.restarts += 1
        self._wants_restart = False
        name = f"{self.description.ufrag.partition('r')[0]}r{self.restarts}"
        self.description = replace(self.description, ufrag=name, password=f"p{name}")
        return self.description

    def path(self) -> dict[str, Any]:
        remote = self.remotes[-1] if self.remotes else None
        if isinstance(remote, tuple):
            return {"local": self.local, "announced": remote, "heard_from": None, "sent_to": remote}
        return {"way": None if remote is None else "direct", "remote_address": "192.0.2.7:4500"}

    def close(self) -> None:
        self.is_closed = True


class FakeMedia:
    """A media plane of fake legs."""

    def __init__(self) -> None:
        self.legs: list[FakeLeg] = []
        self.is_full = False

    def phone_leg(self, host: str | None = None) -> FakeLeg:
        if self.is_full:
            raise RemoteError("no ports left", status=503)
        self.legs.append(FakeLeg(len(self.legs)))
        return self.legs[-1]

    def overlay_leg(self, *, offerer: bool) -> FakeLeg:
        leg = self.phone_leg()
        leg.description = replace(leg.description, setup="actpass" if offerer else "active")
        return leg

    def open_legs(self) -> list[FakeLeg]:
        return [leg for leg in self.legs if not leg.is_closed]


@dataclass
class FakeDirectory:
    """An overlay that everybody shares. `known` are all names; `devices` who is published."""

    node_id: str
    addresses: tuple[str, ...]
    shared: dict[str, list[str]]
    known: dict[str, tuple[str, ...]]
    error: RemoteError | None = None
    history: list[str] = field(default_factory=list)

    async def find(self, address: str) -> Whereabouts:
        await trio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return Whereabouts(tuple(self.shared.get(address, ())), 2, 10.0)

    async def name_exists(self, address: str) -> bool:
        await trio.lowlevel.checkpoint()
        return any(address in addresses for addresses in self.known.values())

    async def publish(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.history.append("publish")
        for address in self.addresses:
            self.shared.setdefault(address, []).append(self.node_id)

    async def withdraw(self) -> None:
        await trio.lowlevel.checkpoint()
        self.history.append("withdraw")
        for address in self.addresses:
            self.shared[address].remove(self.node_id)

    def addresses_of(self, node_id: str) -> tuple[str, ...]:
        return self.known.get(node_id, ())


class FakeAccounts:
    """Accounts whose password is PASSWORD."""

    def __init__(self, *accounts: tuple[str, str, str]) -> None:
        self._accounts = {
            name: Account(name, address, algorithm, digest_secret(algorithm, name, OVERLAY_NAME, PASSWORD))
            for name, address, algorithm in accounts
        }

    def account(self, name: str) -> Account | None:
        return self._accounts.get(name)
