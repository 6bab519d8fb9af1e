"""The top of the program: every error of ours becomes one sentence and an exit code."""

import errno
import sys

import trio

from p2psip.app.cli import app
from p2psip.base.errors import P2psipError


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except* (P2psipError, OSError, trio.BrokenResourceError) as group:
        print(f"p2psip: {_printable(_words(_first(group)))}", file=sys.stderr)
        sys.exit(1)
    except* KeyboardInterrupt:
        sys.exit(130)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException) -> str:
    """Without the number of an error of the operating system; with the way out where a port is taken."""
    if not isinstance(error, OSError) or error.strerror is None or error.filename is not None:
        return str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{error.strerror}: stop the program that has it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{error.strerror}: this machine does not have that address; name one that it has"
    if error.errno == errno.EACCES and error.strerror.startswith("cannot use "):
        return f"{error.strerror}: ports below 1024 need a right of their own; choose a higher one"
    return error.strerror


def _printable(words: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in words)


if __name__ == "__main__":
    main()
