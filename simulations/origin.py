"""Which code made a result: the commit of the checkout, or the version of the installed package."""

import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

GIT_SECONDS_MAX = 5.0
COMMIT = "COMMIT"
"""The file in a compiled copy (`simulations.compiled`) that says what `commit` says of the checkout that it was made from."""
_ROOT = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def version() -> str:
    """The version of the package; "unknown" when it is not installed."""
    try:
        return installed_version("p2psip")
    except PackageNotFoundError:
        return "unknown"


@lru_cache(maxsize=1)
def commit() -> str:
    """The short commit, with "+" after it if files that count were changed; the version where there is no checkout."""
    if (_ROOT / COMMIT).exists():
        return (_ROOT / COMMIT).read_text()
    if not (_ROOT / ".git").exists():
        return version()
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{head}{'+' if changed else ''}" if head else version()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
