"""kill -9 in the middle of enrolments: what the file holds afterwards is whole, and no answered enrolment is lost."""

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
from bootstrap.service import create_overlay, open_overlay
from p2psip.base.certificates import verify_device
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock

DAY = 86_400.0
NEWCOMERS = 12
CLOCK = Clock()
CHANCE = Chance.system()


class Newcomer:
    """A person with an invite and two keys, who may have to ask twice."""

    def __init__(self, name: str, authority: Authority) -> None:
        self.name = name
        self.token = authority.make_token(unix=CLOCK.unix(), lifetime_seconds=DAY)
        self.signing, self.node = SigningKey.generate(CHANCE), NodeKey.generate(CHANCE)
        self.answer: Enrolment | None = None

    async def enrol(self, invite: Invite) -> None:
        self.answer = await enrol(
            Invite(invite.overlay, invite.fingerprint, invite.bootstraps, self.token),
            name=self.name,
            password="correct horse",
            signing=self.signing,
            node=self.node,
            unix=CLOCK.unix(),
            chance=CHANCE,
        )


async def _start(path: Path) -> tuple[trio.Process, int]:
    command = [sys.executable, "-m", "tests.bootstrap.crash_server", str(path)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(await process.stdout.receive_some())


async def _kill(process: trio.Process) -> None:
    process.kill()
    await process.wait()
    assert process.stdout is not None
    await process.stdout.aclose()


def _check_consistency(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        counts = {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("accounts", "certificates", "nonces")
        }
        spent = "SELECT count(*) FROM tokens JOIN certificates ON used_serial = serial"
        assert set(counts.values()) == {database.execute(spent).fetchone()[0]}


@pytest.mark.parametrize("answers_before_the_kill", [1, 5])
async def test_a_killed_server_has_done_each_enrolment_wholly_or_not_at_all(
    tmp_path: Path, answers_before_the_kill: int
) -> None:
    path = tmp_path / "bootstrap.sqlite"
    authority = create_overlay(path, "home.example", unix=CLOCK.unix(), chance=CHANCE)
    people = [Newcomer(f"name{number}", authority) for number in range(NEWCOMERS)]
    process, port = await _start(path)
    invite = authority.make_invite([("127.0.0.1", port)], unix=CLOCK.unix(), lifetime_seconds=None)

    refusals: set[int] = set()

    async def hurry(person: Newcomer) -> None:
        try:
            await person.enrol(invite)
        except RemoteError as error:
            refusals.add(error.status)
        if sum(each.answer is not None for each in people) >= answers_before_the_kill:
            process.kill()

    async with trio.open_nursery() as nursery:
        for person in people:
            nursery.start_soon(hurry, person)
    await _kill(process)
    assert refusals == {503}
    _check_consistency(path)
    answered = {each.name for each in people if each.answer is not None}
    assert answers_before_the_kill <= len(answered) < NEWCOMERS
    assert answered <= {account.name for account in open_overlay(path, chance=CHANCE).accounts()}

    process, port = await _start(path)
    again = Invite(invite.overlay, invite.fingerprint, (("127.0.0.1", port),))
    for person in people:
        await person.enrol(again)
        assert person.answer is not None
        assert verify_device(person.answer.certificate_der, authority.ca_der, CLOCK.unix()).user == person.name
    await _kill(process)
    assert len(authority.accounts()) == NEWCOMERS
