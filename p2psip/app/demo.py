"""`p2psip demo`: a bootstrap server, three nodes and two phones on loopback; two calls, then one without the bootstrap server."""

import shutil
import signal
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from media.tones import energy_share, tone
from media.wav import write_wav
from p2psip.app.control import ask
from p2psip.app.handset import open_handset
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from p2psip.app.show import Printer
from p2psip.app.views import show_ladder
from p2psip.base.errors import P2psipError
from p2psip.softphone.phone import CallReport, Credentials, Softphone

SHARE_NEEDED = 0.95
HANG_UP_SECONDS_MAX = 3.0
NOTE_SECONDS = 0.5
CALLER_NOTES = (440.0, 660.0, 550.0)
CALLEE_NOTES = (880.0, 700.0, 1000.0)
CALL_SECONDS_MAX = 20.0
MARK = ".p2psip-demo"
PEOPLE = ("alice", "bob", "carol")


class DemoError(P2psipError):
    """The folder of the demo cannot be used."""


@dataclass(frozen=True, slots=True)
class DemoCall:
    """One call of the demo and what came of it."""

    title: str
    ok: bool
    facts: dict[str, Any]


async def run_demo(folder: Path, printer: Printer) -> bool:
    """Run it; whether everything went well. Recordings and logs stay in `folder`; SIGTERM leaves no process behind."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_at_sigterm)
        ok = await _run_all(folder, printer)
        nursery.cancel_scope.cancel()
    return ok


async def _end_at_sigterm() -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _number in signals:
            raise DemoError("ended by SIGTERM")


async def _run_all(folder: Path, printer: Printer) -> bool:
    _clear(folder)
    network = LocalNetwork(folder)
    calls: list[DemoCall] = []
    try:
        printer.text("Starting a bootstrap server and three nodes on loopback …")
        bootstrap = await network.start_bootstrap()
        nodes = {name: await network.up(await network.join(name)) for name in PEOPLE}
        accounts = {name: await network.add_phone(nodes[name]) for name in ("alice", "bob")}
        for node in nodes.values():
            printer.text(f"  {node.name}: {' and '.join(node.ready['addresses'])}, {node.ready['peers']} peer(s)")
        number = str(nodes["bob"].ready["addresses"][1]).partition("@")[0]
        calls.append(await _one_call(printer, folder, "by name", ("alice", "bob"), "bob", accounts, nodes))
        calls.append(await _one_call(printer, folder, "by number", ("alice", "bob"), number, accounts, nodes))
        printer.text("\nThe bootstrap server is killed (kill -9); both phones register anew …")
        await bootstrap.kill()
        back = ("bob", "alice")  # the other way round, so that nothing of it was looked up before
        calls.append(await _one_call(printer, folder, "without bootstrap server", back, "alice", accounts, nodes))
    finally:
        await network.close()
    ok = all(call.ok for call in calls)
    answer = {"ok": ok, "folder": str(folder), "calls": [{"title": c.title, "ok": c.ok, **c.facts} for c in calls]}
    verdict = "[bold green]All calls went well.[/]" if ok else "[bold red]Something went wrong.[/]"
    printer.answer(answer, lambda: printer.text(f"\n{verdict} Recordings and logs: {folder}"))
    return ok


def _clear(folder: Path) -> None:
    """An empty folder; what was left by a demo before goes, and nothing else ever does."""
    try:
        if folder.is_dir() and any(folder.iterdir()):
            if not (folder / MARK).is_file():
                raise DemoError(f"{folder} holds other files: say with --folder where recordings and logs may be left")
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text("Left by `p2psip demo`, which empties this folder when it runs again.\n")
    except OSError as error:
        words = "a file is in its place" if folder.is_file() else error.strerror or str(error)
        raise DemoError(
            f"the folder {folder} cannot be used ({words}): say with --folder where recordings and logs may be left"
        ) from error


async def _one_call(
    printer: Printer,
    folder: Path,
    title: str,
    people: tuple[str, str],
    target: str,
    accounts: dict[str, PhoneAccount],
    nodes: dict[str, NodeProcess],
) -> DemoCall:
    """Fresh registrations of both phones, one call, the comparison of what was spoken with what was heard."""
    caller, callee = people
    printer.text(f"\n[bold]Call {title}: {caller} dials {target}[/]")
    reports: dict[str, CallReport] = {}
    async with (
        open_handset(_credentials(accounts[caller])) as calling,
        open_handset(_credentials(accounts[callee])) as called,
        trio.open_nursery() as nursery,
    ):
        await calling.register()
        await called.register()
        hung_up = trio.Event()
        nursery.start_soon(_answer, called, callee, reports, hung_up)
        with trio.move_on_after(CALL_SECONDS_MAX):
            await _wait_published(nodes[callee])
            reports[caller] = await calling.call(target, _melody(CALLER_NOTES), 0.0)
        with trio.move_on_after(HANG_UP_SECONDS_MAX):
            await hung_up.wait()
        await calling.register(0)
        await called.register(0)
        nursery.cancel_scope.cancel()
    return await _judge(printer, folder, title, people, reports, nodes)


async def _judge(
    printer: Printer,
    folder: Path,
    title: str,
    people: tuple[str, str],
    reports: dict[str, CallReport],
    nodes: dict[str, NodeProcess],
) -> DemoCall:
    caller, callee = people
    records = await ask(nodes[caller].home, "calls")
    if caller not in reports or not records:
        words = f"no end within {CALL_SECONDS_MAX:.0f} s"
        printer.text(f"[bold red]{words}[/]")
        return DemoCall(title, ok=False, facts={"status": 408, "reason": words})
    record = await ask(nodes[caller].home, "call", number=records[-1]["number"])
    show_in_words = not printer.as_json
    if show_in_words:
        show_ladder(printer, record["ladder"])
    shares = {
        f"{callee} hears {caller}": _agreement(reports[callee].heard, CALLER_NOTES) if callee in reports else 0.0,
        f"{caller} hears {callee}": _agreement(reports[caller].heard, CALLEE_NOTES),
    }
    for name, report in reports.items():
        write_wav(folder / f"{title.replace(' ', '-')}-heard-by-{name}.wav", report.heard)
    facts = {
        "status": reports[caller].status,
        "reason": reports[caller].reason,
        "post_dial_delay_ms": record["post_dial_delay_ms"],
        "first_audio_ms": record["first_audio_ms"],
        "lookup_hops": record["hops"],
        "lookup_ms": record["lookup_ms"],
        "audio": {name: round(share, 4) for name, share in shares.items()},
    }
    ok = reports[caller].status == 200 and all(share >= SHARE_NEEDED for share in shares.values())
    if show_in_words:
        told = {name.replace("_", " "): _short(value) for name, value in facts.items() if name != "audio"}
        told |= {name: f"{share:.2%} of the energy is where it should be" for name, share in shares.items()}
        printer.facts("Result", told)
    return DemoCall(title, ok, facts)


async def _answer(phone: Softphone, name: str, reports: dict[str, CallReport], hung_up: trio.Event) -> None:
    reports[name] = await phone.answer(_melody(CALLEE_NOTES))
    hung_up.set()


async def _wait_published(node: NodeProcess) -> None:
    while not (await ask(node.home, "status"))["overlay"]["published"]:  # noqa: ASYNC110 - another process's state
        await trio.sleep(0.02)


def _credentials(account: PhoneAccount) -> Credentials:
    return Credentials(account.name, account.address, account.password, account.server)


def _melody(notes: Sequence[float]) -> "array[int]":
    samples = array("h")
    for note in notes:
        samples.extend(tone(note, NOTE_SECONDS))
    return samples


def _agreement(heard: "array[int]", notes: Sequence[float]) -> float:
    """The least share of energy at its own tone over all notes; each note is looked for in the middle of its place."""
    length = int(NOTE_SECONDS * 8000)
    shares = []
    for index, note in enumerate(notes):
        middle = heard[index * length + length // 4 : (index + 1) * length - length // 4]
        shares.append(energy_share(middle, note))
    return min(shares)


def _short(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
