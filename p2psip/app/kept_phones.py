"""Where phones have registered, kept over a restart: else nobody could call them before their own next refresh, an hour later.

Only phones over UDP: one whose connection has ended with the node notices that, and registers anew at once.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import trio
from pydantic import TypeAdapter, ValidationError

from p2psip.base.errors import RemoteError
from p2psip.calls.bindings import BINDINGS_MAX, Binding, BindingTable
from p2psip.calls.ports import AccountsPort, ClockPort
from p2psip.calls.registrar import EXPIRES_SECONDS_MAX
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri

KEPT_FILE = "registered.json"
KEPT_BYTES_MAX = 1_048_576
LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    """One binding in the file; `expires` is unix seconds."""

    address: str
    account: str
    contact: str
    local: tuple[str, int]
    remote: tuple[str, int]
    call_id: str
    cseq: int
    expires: float
    quality: float
    instance: str | None


_FILE = TypeAdapter(list[_Kept])


class KeptPhones:
    """The file beside the state. What it loses is what phones say again by themselves, so nothing waits for the disk."""

    def __init__(self, path: Path, clock: ClockPort) -> None:
        self._path, self._clock = path, clock
        self._written: tuple[Binding, ...] = ()
        self._has_failed = False

    def load(self, accounts: AccountsPort, port: int) -> list[Binding]:
        """The phones that are still registered with the UDP port `port`, as far as their accounts exist."""
        try:
            with self._path.open("rb") as file:
                kept = _FILE.validate_json(file.read(KEPT_BYTES_MAX))
        except (OSError, ValidationError) as error:
            if not isinstance(error, FileNotFoundError):
                _log.warning("the file of registered phones %s cannot be read: %s", self._path, type(error).__name__)
            return []
        usable = [each for each in kept[:BINDINGS_MAX] if each.local[1] == port]
        found = [self._binding(each) for each in usable if accounts.account(each.account) is not None]
        return [each for each in found if each is not None]

    async def run(self, table: BindingTable) -> None:
        """Write the table down whenever it has changed, until cancelled."""
        while True:
            now = tuple(binding for binding in table if binding.flow.transport == "udp")
            if now != self._written:
                self._written = now
                text = _FILE.dump_json([self._kept(each) for each in now])
                await trio.to_thread.run_sync(self._write, text)
            await trio.sleep(LOOK_SECONDS)

    def _write(self, text: bytes) -> None:
        new = self._path.with_suffix(".new")
        try:
            with open(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(text)
            new.replace(self._path)
        except OSError as error:
            if not self._has_failed:
                _log.warning("registered phones will be forgotten at a restart, %s: %s", new, error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False

    def _kept(self, binding: Binding) -> _Kept:
        return _Kept(
            address=binding.address,
            account=binding.account,
            contact=str(binding.contact),
            local=binding.flow.local,
            remote=binding.flow.remote,
            call_id=binding.call_id,
            cseq=binding.cseq,
            expires=self._clock.unix() + binding.expires_at - self._clock.now(),
            quality=binding.quality,
            instance=binding.instance,
        )

    def _binding(self, kept: _Kept) -> Binding | None:
        """None when it has run out. A clock that went back makes no registration last for longer than one may."""
        left = min(kept.expires - self._clock.unix(), EXPIRES_SECONDS_MAX)
        if not left > 0:
            return None
        try:
            contact = SipUri.parse(kept.contact)
        except RemoteError:
            return None
        return Binding(
            address=kept.address,
            account=kept.account,
            contact=contact,
            flow=Flow("udp", kept.local, kept.remote),
            call_id=kept.call_id,
            cseq=kept.cseq,
            expires_at=self._clock.now() + left,
            quality=kept.quality,
            instance=kept.instance,
        )
