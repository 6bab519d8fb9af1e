"""PUBLISH as a table on a virtual clock."""

import pytest

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.presence.packages import PACKAGES, PRESENCE
from p2psip.presence.pidf import Presence, Service
from p2psip.presence.publications import (
    PUBLICATIONS_MAX,
    PUBLICATIONS_PER_ACCOUNT_MAX,
    SECONDS_MAX,
    SECONDS_MIN,
    Publications,
)

OPEN = Presence((Service("a", True),)).write("alice@home.example")
CLOSED = Presence((Service("a", False),)).write("alice@home.example")
PACKAGE = PACKAGES[PRESENCE]


def publish(
    table: Publications,
    now: float = 0.0,
    *,
    account: str = "alice",
    if_match: str | None = None,
    expires: int | None = 600,
    body: bytes = OPEN,
) -> tuple[str, int]:
    return table.publish(PACKAGE, account, if_match=if_match, expires=expires, body=body, now=now)


def status_of(table: Publications, now: float = 0.0, **more: object) -> int | None:
    with pytest.raises(RemoteError) as caught:
        publish(table, now, **more)  # type: ignore[arg-type]
    return caught.value.status


def test_a_life_of_a_publication() -> None:
    table = Publications(Chance.seeded(1))
    tag, seconds = publish(table)
    assert seconds == 600
    refreshed, _ = publish(table, 500.0, if_match=tag, body=b"")
    assert refreshed != tag
    assert [each.expires_at for each in table.of(PRESENCE, 500.0)] == [1_100.0]
    assert status_of(table, 500.0, if_match=tag) == 412
    modified, _ = publish(table, 600.0, if_match=refreshed, body=CLOSED)
    assert [each.state for each in table.of(PRESENCE, 600.0)] == [Presence((Service("a", False),))]
    publish(table, 700.0, if_match=modified, expires=0, body=b"")
    assert len(table) == 0


def test_it_runs_out_and_its_tag_with_it() -> None:
    table = Publications(Chance.seeded(1))
    tag, _ = publish(table)
    assert table.next_expiry() == 600.0
    assert not table.expire(599.0)
    assert not table.of(PRESENCE, 600.0)
    assert status_of(table, 600.0, if_match=tag, body=b"") == 412
    assert table.next_expiry() is None


def test_refusals() -> None:
    table = Publications(Chance.seeded(1))
    tag, _ = publish(table)
    assert status_of(table, body=b"") == 400
    assert status_of(table, body=b"<x/>") == 400
    assert status_of(table, if_match="made-up") == 412
    assert status_of(table, if_match=tag, account="bob") == 412
    assert status_of(table, expires=SECONDS_MIN - 1) == 423
    assert publish(table, expires=SECONDS_MIN)[1] == SECONDS_MIN
    assert publish(table, expires=10**9)[1] == SECONDS_MAX


def test_bounds() -> None:
    table = Publications(Chance.seeded(1))
    for _ in range(PUBLICATIONS_PER_ACCOUNT_MAX):
        tag, _ = publish(table)
    assert status_of(table) == 503
    publish(table, if_match=tag)
    for number in range(PUBLICATIONS_MAX - PUBLICATIONS_PER_ACCOUNT_MAX):
        publish(table, account=str(number))
    assert status_of(table, account="another") == 503
