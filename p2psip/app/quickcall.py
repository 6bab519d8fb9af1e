"""`p2psip call` and `p2psip message`: a phone of our own that borrows an account from the running node for one errand."""

from array import array
from pathlib import Path
from typing import Any

from media.tones import tone
from media.wav import read_wav, write_wav
from p2psip.app.control import ask
from p2psip.app.handset import open_handset
from p2psip.base.errors import P2psipError
from p2psip.softphone.phone import CallReport, Credentials

DEFAULT_TONE_HERTZ = 440.0
DEFAULT_TONE_SECONDS = 3.0


class FileError(P2psipError):
    """A WAV file cannot be written."""


async def call_once(
    home: Path, target: str, *, play: Path | None, record: Path | None, seconds: float
) -> dict[str, Any]:
    """Call `target`, speak a file or a tone, keep what is heard; the report as JSON values."""
    samples = read_wav(play) if play is not None else tone(DEFAULT_TONE_HERTZ, DEFAULT_TONE_SECONDS)
    credentials = await borrow_account(home)
    async with open_handset(credentials, host=credentials.server[0]) as phone:
        report = await phone.call(target, samples, seconds)
    if record is not None and report.status < 300:
        _write(record, report.heard)
    return report_as_json(report, record)


async def message_once(home: Path, target: str, text: str) -> dict[str, Any]:
    """Send `text`; status and reason."""
    credentials = await borrow_account(home)
    async with open_handset(credentials, host=credentials.server[0]) as phone:
        response = await phone.send_text(target, text)
    return {"status": response.status, "reason": response.reason, "why": response.warning}


async def borrow_account(home: Path) -> Credentials:
    """An account that the running node lends for a few minutes."""
    lent = await ask(home, "lend")
    return Credentials(lent["name"], lent["address"], lent["password"], (lent["server"][0], lent["server"][1]))


def report_as_json(report: CallReport, record: Path | None) -> dict[str, Any]:
    """What happened, in milliseconds and counts."""
    answered, rang = report.answered, report.rang
    talked = report.ended - answered if answered is not None and report.ended is not None else None
    return {
        "status": report.status,
        "reason": report.reason,
        "why": report.why,
        "post_dial_delay_ms": _since(report.started, rang if rang is not None else answered),
        "seconds": None if talked is None else round(talked, 2),
        "heard_seconds": len(report.heard) / 8000,
        "ended_by": report.ended_by,
        "recording": str(record) if record is not None and answered is not None else None,
    }


def _since(start: float, end: float | None) -> float | None:
    return None if end is None else round(1000 * (end - start), 1)


def _write(path: Path, samples: "array[int]") -> None:
    try:
        write_wav(path, samples)
    except OSError as error:
        raise FileError(f"the recording {path} cannot be written: {error.strerror}") from error
