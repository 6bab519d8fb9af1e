"""A real sipp, run once per scenario; its own words are in the error when it fails."""

import subprocess
from pathlib import Path

import trio

from p2psip.app.local_network import PhoneAccount
from tests.interop.programs import program

SCENARIOS = Path(__file__).parent / "scenarios"
TRANSPORT_FLAGS = {"udp": "u1", "tcp": "t1"}


def injection(folder: Path, account: PhoneAccount, *more: str) -> Path:
    """An injection file for our scenarios: user, domain, credentials, and what else the scenario takes."""
    domain = account.address.partition("@")[2]
    credentials = f"[authentication username={account.name} password={account.password}]"
    path = folder / f"{account.name}-{'-'.join(more)}.csv"
    path.write_text("SEQUENTIAL\n" + ";".join((account.name, domain, credentials, *more)) + "\n")
    return path


async def run_sipp(
    folder: Path, server: tuple[str, int], *arguments: str, transport: str = "udp", calls: int = 1
) -> None:
    """Run sipp to its end; AssertionError with its last words when it does not end with success."""
    command = [
        program("sipp"),
        f"{server[0]}:{server[1]}",
        *("-t", TRANSPORT_FLAGS[transport], "-i", "127.0.0.1", "-m", str(calls), "-nostdin"),
        *("-timeout", "30", "-timeout_error", "-trace_err", "-error_file", str(folder / "sipp-errors")),
        *arguments,
    ]
    done = await trio.run_process(command, cwd=folder, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        errors = folder / "sipp-errors"
        words = errors.read_text(errors="replace") if errors.exists() else ""
        raise AssertionError(
            f"sipp ended with {done.returncode}: {words[-3000:]} {done.stdout.decode(errors='replace')[-1500:]}"
        )
