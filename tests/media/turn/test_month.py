"""The month's bytes: never fewer after a sudden end, exact after a planned one, none in a new month."""

from pathlib import Path

import pytest

from media.turn.month import MonthRecord, month_of
from media.turn.quota import Meter

NOVEMBER = 1_795_000_000.0
DECEMBER = NOVEMBER + 20 * 86_400


def _keep(record: MonthRecord, unix: float) -> None:
    claim = record.claim(unix)
    if claim is not None:
        record.store(claim)


def test_a_sudden_end_counts_what_was_claimed(tmp_path: Path) -> None:
    assert (month_of(NOVEMBER), month_of(DECEMBER)) == ("2026-11", "2026-12")
    path, meter = tmp_path / "month", Meter()
    record = MonthRecord(path, meter, 1_000, NOVEMBER)
    _keep(record, NOVEMBER)
    for _ in range(10):
        meter.used += 450
        _keep(record, NOVEMBER)
        after_a_kill = Meter()
        MonthRecord(path, after_a_kill, 1_000, NOVEMBER)
        assert meter.used < after_a_kill.used <= meter.used + 1_000


def test_a_planned_end_counts_exactly_and_a_new_month_begins_at_0(tmp_path: Path) -> None:
    path, meter = tmp_path / "month", Meter()
    record = MonthRecord(path, meter, 1_000, NOVEMBER)
    meter.used = 777
    record.close()
    again = Meter()
    record = MonthRecord(path, again, 1_000, NOVEMBER)
    assert again.used == 777
    _keep(record, DECEMBER)
    assert again.used == 0
    late = Meter()
    MonthRecord(path, late, 1_000, NOVEMBER)
    assert late.used == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"month": 1}', b'{"month": "2026-11", "bytes": -1}'])
def test_a_broken_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "month").write_bytes(content)
    meter = Meter()
    MonthRecord(tmp_path / "month", meter, 1_000, NOVEMBER)
    assert meter.used == 0
