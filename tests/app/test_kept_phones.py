"""Phones stay registered over a restart of their node."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2psip.app.kept_phones import KEPT_FILE, LOOK_SECONDS, KeptPhones
from p2psip.calls.bindings import Binding, BindingTable
from p2psip.calls.ports import Account
from p2psip.calls.registrar import EXPIRES_SECONDS_MAX
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri

PORT = 5060
ALICE = "alice@home.example"


class TwoClocks:
    """Unix time that can be set, beside trio's steady one."""

    def __init__(self) -> None:
        self.ahead = 1_000_000.0

    def now(self) -> float:
        return trio.current_time()

    def unix(self) -> float:
        return trio.current_time() + self.ahead


class Accounts:
    """One account."""

    def account(self, name: str) -> Account | None:
        return Account(name, ALICE, "MD5", "") if name == "desk" else None


def phone(transport: str = "udp", seconds: float = 600.0, account: str = "desk") -> Binding:
    return Binding(
        address=ALICE,
        account=account,
        contact=SipUri.parse("sip:desk@127.0.0.1:6000"),
        flow=Flow(transport, ("127.0.0.1", PORT), ("127.0.0.1", 6_000)),
        call_id="c",
        cseq=4,
        expires_at=trio.current_time() + seconds,
        quality=0.5,
        instance='"<urn:uuid:1>";',
    )


async def keep(folder: Path, clock: TwoClocks, *phones: Binding) -> KeptPhones:
    """What a node with these phones leaves behind."""
    table = BindingTable()
    table.replace(ALICE, list(phones))
    kept = KeptPhones(folder / KEPT_FILE, clock)
    with trio.move_on_after(LOOK_SECONDS / 2):
        await kept.run(table)
    return KeptPhones(folder / KEPT_FILE, clock)


async def test_a_phone_comes_back_as_it_was(tmp_path: Path, autojump_clock: MockClock) -> None:
    clock = TwoClocks()
    before = phone()
    kept = await keep(tmp_path, clock, before)
    (after,) = kept.load(Accounts(), PORT)
    assert after.expires_at == pytest.approx(before.expires_at)
    assert replace(after, expires_at=before.expires_at) == before
    assert (tmp_path / KEPT_FILE).stat().st_mode & 0o777 == 0o600


async def test_what_cannot_be_reached_any_more_is_left_out(tmp_path: Path, autojump_clock: MockClock) -> None:
    clock = TwoClocks()
    kept = await keep(tmp_path, clock, phone("tcp"), phone(seconds=30.0), phone(account="removed"))
    assert kept.load(Accounts(), PORT + 1) == []
    assert len(kept.load(Accounts(), PORT)) == 1
    await trio.sleep(31)
    assert kept.load(Accounts(), PORT) == []


async def test_a_clock_that_went_back_keeps_no_phone_for_longer(tmp_path: Path, autojump_clock: MockClock) -> None:
    clock = TwoClocks()
    kept = await keep(tmp_path, clock, phone())
    clock.ahead -= 100_000.0
    (after,) = kept.load(Accounts(), PORT)
    assert after.expires_at <= trio.current_time() + EXPIRES_SECONDS_MAX


@pytest.mark.parametrize("text", [b"", b"[", b"[1]", b"{}", b'[{"address": 5}]', b"\xff", b"[" * 100_000])
async def test_a_damaged_file_is_no_hindrance(tmp_path: Path, text: bytes) -> None:
    (tmp_path / KEPT_FILE).write_bytes(text)
    assert KeptPhones(tmp_path / KEPT_FILE, TwoClocks()).load(Accounts(), PORT) == []


async def test_a_full_disk_is_said_once(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock, table = TwoClocks(), BindingTable()
    kept = KeptPhones(tmp_path / "missing" / KEPT_FILE, clock)
    with trio.move_on_after(LOOK_SECONDS * 3.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kept.run, table)
            for number in range(3):
                table.replace(ALICE, [phone(seconds=600.0 + number)])
                await trio.sleep(LOOK_SECONDS)
    assert len(caplog.records) == 1
