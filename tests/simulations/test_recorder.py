"""Tables grow to their bound and are an even sample beyond it; columns and figures are bounded too."""

import pytest

from simulations import recorder
from simulations.recorder import Recorder
from simulations.results import Figure


def test_rows_come_back_with_what_they_lack_as_none() -> None:
    made = Recorder()
    made.record("lookups", t=1.0, found=True, hops=2)
    made.record("lookups", t=2.0, found=False)
    made.record("calls", t=1.5)
    assert made.tables() == {
        "lookups": [{"t": 1.0, "found": True, "hops": 2}, {"t": 2.0, "found": False, "hops": None}],
        "calls": [{"t": 1.5}],
    }
    assert made.column("lookups", "found") == [True, False]
    assert made.column("nodes", "held") == []
    with pytest.raises(ValueError, match="lookups has t, found, hops"):
        made.record("lookups", t=3.0, colour="red")


def test_a_full_table_is_an_even_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "ROWS_MAX", 4)
    made = Recorder()
    for number in range(4):
        made.record("lookups", t=number)
    assert (made.column("lookups", "t"), made.kept_one_in("lookups")) == ([0, 1, 2, 3], 1)
    for number in range(4, 20):
        made.record("lookups", t=number)
    assert (made.column("lookups", "t"), made.kept_one_in("lookups")) == ([0, 8, 16], 8)
    assert made.thinned() == {"lookups": 8}


def test_figures_replace_one_another_and_are_bounded() -> None:
    made = Recorder()
    made.figure("found", 0.5)
    made.figure("found", 0.9, "share", goal="at least 0.99", met=False)
    assert made.figures == [Figure("found", 0.9, "share", "at least 0.99", False)]
    for number in range(1, recorder.FIGURES_MAX):
        made.figure(str(number), number)
    with pytest.raises(ValueError, match="figures"):
        made.figure("one more", 1)


def test_tables_are_bounded() -> None:
    made = Recorder()
    for number in range(recorder.TABLES_MAX):
        made.record(f"table {number}", t=1)
    with pytest.raises(ValueError, match="tables"):
        made.record("one more", t=1)
