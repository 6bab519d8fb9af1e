"""kill -9 at exact points of an enrolment: it is in the file wholly or not at all, and an answered one is never lost."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from bootstrap.authority import Authority
from bootstrap.client import enrol
from bootstrap.invite import Invite
from bootstrap.messages import Enrolment
from bootstrap.service import create_overlay
from p2psip.base.certificates import verify_device
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock
from tests.bootstrap.crash_server import NEVER, POINTS

DAY = 86_400.0
NEWCOMERS = 6
DEADLY_ENROLMENT = 3
CLOCK = Clock()
CHANCE = Chance.system()


class Newcomer:
    """A person with an invite and two keys, who may have to ask twice."""

    def __init__(self, name: str, authority: Authority) -> None:
        self.name = name
        self.token = authority.make_token(unix=CLOCK.unix(), lifetime_seconds=DAY)
        self.signing, self.node = SigningKey.generate(CHANCE), NodeKey.generate(CHANCE)
        self.answer: Enrolment | None = None
        self.refusal: int | None = None

    async def ask(self, invite: Invite) -> None:
        own = Invite(invite.overlay, invite.fingerprint, invite.bootstraps, self.token)
        keys = {"signing": self.signing, "node": self.node}
        try:
            self.answer = await enrol(own, name=self.name, password=None, unix=CLOCK.unix(), chance=CHANCE, **keys)  # type: ignore[arg-type]
        except RemoteError as error:
            self.refusal = error.status


async def _start(path: Path, point: str) -> tuple[trio.Process, int]:
    command = [sys.executable, "-m", "tests.bootstrap.crash_server", str(path), point, str(DEADLY_ENROLMENT)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(await process.stdout.receive_some())


async def _end(process: trio.Process) -> int:
    assert process.stdout is not None
    await process.stdout.aclose()
    return await process.wait()


def _enrolled(path: Path) -> dict[str, bytes]:
    """The certificate of each account, after a check that every table tells of the same enrolments."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        found = dict(
            database.execute(
                "SELECT name, der FROM accounts JOIN certificates AS c ON c.account = name JOIN tokens ON used_serial = serial"
            ).fetchall()
        )
        for table in ("accounts", "certificates", "nonces", "tokens WHERE used_serial IS NOT NULL"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (len(found),)
    return found


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_server_has_done_each_enrolment_wholly_or_not_at_all(tmp_path: Path, point: str) -> None:
    path = tmp_path / "bootstrap.sqlite"
    authority = create_overlay(path, "home.example", unix=CLOCK.unix(), chance=CHANCE)
    people = [Newcomer(f"name{number}", authority) for number in range(NEWCOMERS)]
    process, port = await _start(path, point)
    invite = authority.make_invite([("127.0.0.1", port)], unix=CLOCK.unix(), lifetime_seconds=None)
    async with trio.open_nursery() as nursery:
        for person in people:
            nursery.start_soon(person.ask, invite)
    assert await _end(process) == -signal.SIGKILL

    kept = _enrolled(path)
    assert len(kept) == (DEADLY_ENROLMENT if point == "committed" else DEADLY_ENROLMENT - 1)
    assert {each.refusal for each in people if each.answer is None} == {503}
    for person in people:
        assert person.answer is None or kept[person.name] == person.answer.certificate_der

    process, port = await _start(path, NEVER)
    for person in people:
        await person.ask(Invite(invite.overlay, invite.fingerprint, (("127.0.0.1", port),)))
        assert person.answer is not None
        assert verify_device(person.answer.certificate_der, authority.ca_der, CLOCK.unix()).user == person.name
        assert kept.get(person.name, person.answer.certificate_der) == person.answer.certificate_der
    process.kill()
    await _end(process)
    assert len(authority.accounts()) == NEWCOMERS
