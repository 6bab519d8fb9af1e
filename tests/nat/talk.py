"""One call between two houses of a town: who heard whom, over which path, how soon."""

import contextlib
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from media.tones import energy_share
from media.wav import read_wav
from p2psip.base.errors import RemoteError
from tests.interop.baresip import Baresip
from tests.nat.expected import can_be_direct
from tests.nat.town import House

TALK_SECONDS = 2.5
ESTABLISHED_SECONDS_MAX = 10.0
CLOSED_SECONDS_MAX = 5.0
WRITTEN_SECONDS_MAX = 1.0
SHARE_MIN = 0.95
SETTLE_SAMPLES = 1_600
HEARD_SECONDS_MIN = 1.0
SAMPLES_PER_SECOND = 8_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What one phone recorded: seconds of audio, and the share of its energy at the other's tone."""

    seconds: float = 0.0
    share: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether the other was heard, and nobody else."""
        return self.seconds >= HEARD_SECONDS_MIN and self.share >= SHARE_MIN


@dataclass(frozen=True, slots=True)
class Talk:
    """One call that was tried. `paths` is what both nodes say of the media path; times count from the INVITE."""

    caller: House
    callee: House
    established_ms: float | None
    two_way_ms: float | None
    paths: tuple[dict[str, Any], dict[str, Any]]
    by_caller: Heard
    by_callee: Heard
    trouble: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether no relay is in the way, as both nodes see it."""
        return all(path.get("way") == "direct" for path in self.paths)

    @property
    def is_good(self) -> bool:
        """Whether both heard one another."""
        return not self.trouble and self.by_caller.is_good and self.by_callee.is_good

    @property
    def path_name(self) -> str:
        """ "direct", "relayed", or "TLS" where one side reaches its relay over TCP or TLS."""
        if self.is_direct:
            return "direct"
        return "TLS" if any(path.get("transport") in ("tcp", "tls", "stream") for path in self.paths) else "relayed"

    @property
    def should_be_direct(self) -> bool:
        """Whether the theory says so; two hosts behind one NAT reach one another without it."""
        same = self.caller.site is self.callee.site
        return same or can_be_direct(self.caller.site.kind, self.callee.site.kind)

    def troubles(self) -> list[str]:
        """What is wrong with it, in words."""
        name = f"{self.caller.name} -> {self.callee.name}"
        found = [f"{name}: {self.trouble}"] if self.trouble else []
        if not self.trouble and not self.by_caller.is_good:
            found.append(f"{name}: the caller heard {self.by_caller}, paths {self.paths}")
        if not self.trouble and not self.by_callee.is_good:
            found.append(f"{name}: the callee heard {self.by_callee}, paths {self.paths}")
        if not found and self.is_direct != self.should_be_direct:
            found.append(f"{name}: direct should be {self.should_be_direct}, but paths are {self.paths}")
        return found


async def talk(caller: House, callee: House, *, seconds: float = TALK_SECONDS) -> Talk:
    """Call, let both speak for a while, hang up, and look at recordings and records."""
    before = recordings(caller.phone), recordings(callee.phone)
    for phone in (caller.phone, callee.phone):
        phone.events.clear()
    dialled = trio.current_time()
    trouble = await establish(caller, callee)
    established_ms = 1000 * (trio.current_time() - dialled)
    if not trouble:
        await trio.sleep(seconds)
    await caller.phone.command("hangup")
    with trio.move_on_after(CLOSED_SECONDS_MAX):
        for phone in (caller.phone, callee.phone) if not trouble else ():
            await phone.wait_for("CALL_CLOSED")
    by_caller = await heard(caller, before[0], callee.hertz)
    by_callee = await heard(callee, before[1], caller.hertz)
    records = await last_record(caller), await last_record(callee)
    paths = _path(records[0]), _path(records[1])
    return Talk(
        caller,
        callee,
        None if trouble else established_ms,
        _two_way(*records),
        paths,
        by_caller,
        by_callee,
        trouble,
    )


async def establish(caller: House, callee: House) -> str:
    """Dial and wait; empty when the call stands, else what went wrong."""
    closed = ""
    with trio.move_on_after(ESTABLISHED_SECONDS_MAX):
        async with trio.open_nursery() as nursery:

            async def wait_closed() -> None:
                nonlocal closed
                event = await caller.phone.wait_for("CALL_CLOSED", ESTABLISHED_SECONDS_MAX + 1)
                closed = f"the call ended: {event.get('param')}"
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait_closed)
            await caller.phone.command("dial", f"sip:{callee.sip}")
            await caller.phone.wait_for("CALL_ESTABLISHED", ESTABLISHED_SECONDS_MAX + 1)
            nursery.cancel_scope.cancel()
            return ""
    return closed or "nobody answered in time"


def recordings(phone: Baresip) -> set[Path]:
    """What a phone has recorded of others until now."""
    return set(phone.recordings("dec"))


async def heard(house: House, old: set[Path], hertz: int) -> Heard:
    """What the recording that is new holds; nothing when it is not written soon after the call, or is empty."""
    with trio.move_on_after(WRITTEN_SECONDS_MAX):
        while True:
            new = recordings(house.phone) - old
            with contextlib.suppress(RemoteError):
                samples = read_wav(new.pop())[SETTLE_SAMPLES:] if len(new) == 1 else array("h")
                if samples:
                    samples = samples[: len(samples) // 80 * 80]
                    return Heard(len(samples) / SAMPLES_PER_SECOND, energy_share(samples, float(hertz)))
            await trio.sleep(0.1)
    return Heard()


async def last_record(house: House) -> dict[str, Any]:
    """All that a node knows of its newest call."""
    calls = await house.ask("calls")
    if not calls:
        return {}
    record: dict[str, Any] = await house.ask("call", number=calls[-1]["number"])
    return record


def node_end(record: dict[str, Any]) -> dict[str, Any]:
    """The end of a record that is another node."""
    ends = record.get("media", {}).get("ends", [])
    return next((end for end in ends if end["kind"] == "node"), {})


def _path(record: dict[str, Any]) -> dict[str, Any]:
    path: dict[str, Any] = node_end(record).get("path", {})
    return path


def _two_way(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    """From the caller's INVITE until both nodes had audio of the other; one clock, because it is one machine."""
    firsts = [first for record in (one, other) if (first := node_end(record).get("first_received")) is not None]
    return 1000 * (max(firsts) - one["started"]) if len(firsts) == 2 else None
