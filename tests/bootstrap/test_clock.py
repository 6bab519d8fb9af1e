"""What a client learns of its clock from the bootstrap server, and what it believes: real HTTPS, the server's clock is set."""

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from bootstrap import client, tls
from bootstrap.client import enrol, fetch_clock_late, fetch_introducers, renew
from bootstrap.pinning import SERVER_LIFETIME_SECONDS, check_periods, issue_server
from p2psip.base.certificates import create_authority, verify_device
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.base.keys import SigningKey
from p2psip.net.clock import CLOCK_ERROR_SECONDS_MAX, Clock
from tests.bootstrap.test_service import DAY, World, running

UNIX = 1_800_000_000
SECONDS_NEAR = 20.0
"""How far off what is learned may be here: a loaded machine answers late."""


async def enrolled_by(world: World, clock: Clock, name: str = "alice") -> tuple[Any, dict[str, Any]]:
    device = world.device()
    got = await enrol(
        world.invite(),
        name=name,
        password=None,
        signing=device[0],
        node=device[1],
        unix=clock.unix(),
        chance=world.chance,
    )
    return got, {"certificate_der": got.certificate_der, "ca_der": got.ca_der, "signing": device[0]}


@pytest.mark.parametrize("ahead", [2 * DAY, -2 * DAY, 400 * DAY])
async def test_a_device_whose_clock_is_days_off_is_served_and_told(tmp_path: Path, ahead: float) -> None:
    clock = Clock()
    async with running(tmp_path, ahead=ahead) as world:
        got, proof = await enrolled_by(world, clock)
        assert got.clock_late == pytest.approx(ahead, abs=SECONDS_NEAR)
        verify_device(got.certificate_der, got.ca_der, clock.unix() + got.clock_late)
        for ask in (renew, fetch_introducers):
            again = await ask(world.invite(token=False), **proof, unix=clock.unix(), chance=world.chance)
            assert again.clock_late == pytest.approx(ahead, abs=SECONDS_NEAR)
        clock.correct(got.clock_late)
        again = await renew(world.invite(token=False), **proof, unix=clock.unix(), chance=world.chance)
        assert again.clock_late == 0


@pytest.mark.parametrize(
    ("ahead", "is_told"), [(CLOCK_ERROR_SECONDS_MAX - 30, False), (CLOCK_ERROR_SECONDS_MAX + 30, True)]
)
async def test_a_small_error_is_left_as_it_is(tmp_path: Path, ahead: float, is_told: bool) -> None:
    async with running(tmp_path, ahead=ahead) as world:
        late = await fetch_clock_late(world.invite(), unix=Clock().unix())
        assert (late != 0) == is_told
        assert not is_told or late == pytest.approx(ahead, abs=SECONDS_NEAR)


def dated(date: Callable[[httpx.Response], str | None], monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Have the client see other Dates; what it saw."""
    seen: list[str | None] = []
    read = client._date

    def changed(response: httpx.Response) -> float | None:
        response.headers.pop("date", None)
        words = date(response)
        seen.append(words)
        if words is not None:
            response.headers["date"] = words
        return read(response)

    monkeypatch.setattr(client, "_date", changed)
    return seen


@pytest.mark.parametrize("words", [None, "", "soon", "Sat, 99 Nov 2026 13:59:34 GMT", "Thu, 01 Jan 99999 00:00:00 GMT"])
async def test_a_server_that_tells_no_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str | None
) -> None:
    async with running(tmp_path) as world:
        seen = dated(lambda _response: words, monkeypatch)
        got, _proof = await enrolled_by(world, Clock())
        assert got.clock_late == 0
        assert seen == [words] * 3


async def test_the_time_of_an_answer_that_proves_nothing_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dates = iter([formatdate(Clock().unix() - 9 * DAY, usegmt=True)])
    async with running(tmp_path) as world:
        seen = dated(lambda _response: next(dates, formatdate(Clock().unix(), usegmt=True)), monkeypatch)
        got, _proof = await enrolled_by(world, Clock())
        assert (got.clock_late, len(seen)) == (0, 3)


async def test_an_impostor_with_the_right_authority_is_not_asked_for_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "one") as world, running(tmp_path / "two", ahead=9 * DAY) as impostor:
        monkeypatch.setattr(impostor.authority, "ca_der", world.authority.ca_der)
        wrong = type(world.invite())(world.invite().overlay, world.invite().fingerprint, impostor.server.local)
        with pytest.raises(RemoteError, match="certificate verify failed"):
            await fetch_clock_late(wrong, unix=Clock().unix())


async def test_a_certificate_that_ran_out_by_the_servers_own_time_is_given_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thief of an old server's key may tell the time of that certificate's validity only."""
    async with running(tmp_path, ahead=-2 * SERVER_LIFETIME_SECONDS) as world:
        dated(lambda _response: formatdate(Clock().unix() - 5 * DAY, usegmt=True), monkeypatch)
        with pytest.raises(RemoteError, match="even by its own clock") as error:
            await enrolled_by(world, Clock())
        assert error.value.status == 403
        assert world.authority.accounts() == []


async def test_after_the_time_is_learned_only_that_very_certificate_is_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "one", ahead=2 * DAY) as world, running(tmp_path / "two", ahead=2 * DAY) as other:
        single = tls.single_context
        shown: list[bytes] = []

        def another(server_der: bytes) -> Any:
            shown.append(server_der)
            return single(other.authority.ca_der)

        monkeypatch.setattr(client, "single_context", another)
        with pytest.raises(RemoteError, match="certificate verify failed"):
            await enrolled_by(world, Clock())
        assert len(shown) == 1


def test_periods_of_both_certificates_count() -> None:
    chance = Chance.seeded(1)
    authority, server = SigningKey.generate(chance), SigningKey.generate(chance)
    ca = create_authority("home.example", authority, UNIX)
    der = issue_server(ca, authority, server, 7, UNIX)
    check_periods(ca, der, UNIX)
    check_periods(ca, der, UNIX + SERVER_LIFETIME_SECONDS - 301)
    for unix in (UNIX - 601, UNIX + SERVER_LIFETIME_SECONDS + 1):
        with pytest.raises(RemoteError, match="even by its own clock"):
            check_periods(ca, der, unix)
