"""A bootstrap server as a process of its own that kills itself (SIGKILL) at a chosen point of a chosen enrolment.

Arguments: the file, the point (one of POINTS, or `never`), the number of the enrolment. It prints its port first.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from bootstrap.accounts import Accounts
from bootstrap.authority import Authority
from bootstrap.ledger import Account, IssuedCertificate, Token
from bootstrap.service import BootstrapServer
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock

POINTS = ("account saved", "certificate saved", "token spent", "committed")
NEVER = "never"


class DyingAccounts(Accounts):
    """The real file, whose owner dies when `point` is passed for the `count`-th time."""

    def __init__(self, path: Path, point: str, count: int) -> None:
        super().__init__(path, create=False)
        self._point = point
        self._left = count

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
        self._pass("committed")

    def save_account(self, account: Account) -> None:
        super().save_account(account)
        self._pass("account saved")

    def save_certificate(self, certificate: IssuedCertificate) -> None:
        super().save_certificate(certificate)
        self._pass("certificate saved")

    def save_token(self, token: Token) -> None:
        super().save_token(token)
        self._pass("token spent")

    def _pass(self, point: str) -> None:
        if point == getattr(self, "_point", NEVER):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


async def main(path: Path, point: str, count: int) -> None:
    """Serve the overlay in `path` until death."""
    chance = Chance.system()
    authority = Authority(DyingAccounts(path, point, count), chance)
    server = BootstrapServer(authority, "127.0.0.1", 0, clock=Clock(), chance=chance)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        print(server.port, flush=True)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
