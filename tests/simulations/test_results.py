"""Results are read back exactly as they were saved, whole or not at all, and every failure is one clear sentence."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulations import results
from simulations.extra import MissingExtraError
from simulations.extra import load as load_extra
from simulations.results import Check, Figure, Result, ResultError, Row, completed, ensure_writable, load

CELLS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
TABLES = st.dictionaries(
    st.sampled_from(["lookups", "calls", "nodes"]),
    st.lists(
        st.dictionaries(st.sampled_from(["t", "node", "nat", "seconds"]), CELLS, min_size=1), min_size=1, max_size=5
    ),
)


def sample() -> Result:
    return Result(
        scenario="churn",
        seed=7,
        commit="abc1234",
        version="0.1.0",
        parameters={"peers": 100, "minutes": 5.0, "nat": "cone", "quick": True, "nothing": None},
        virtual_seconds=300.0,
        cpu_seconds=1.25,
        wall_seconds=1.5,
        peak_memory_bytes=1 << 33,
        messages=12345,
        trace_hash="ab" * 32,
        figures=[Figure("lookups found", 0.997, "share", "at least 0.995", True), Figure("way", "direct")],
        checks=[Check("holds", True), Check("found", False, "u17@home.example was not found")],
        tables={
            "lookups": [
                {"t": 0.1, "node": 3, "found": True, "hops": None},
                {"t": 1 / 3, "node": 4, "found": False, "hops": 2},
            ],
            "curve": [{"x": 1, "series": "a", "y": 2.5}, {"x": 2.5, "series": "a", "y": 3}],
            "calls": [],
        },
    )


@pytest.fixture(params=["result.json", "result"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_a_result_is_read_back_exactly(path: Path) -> None:
    result = sample()
    result.save(path)
    again = load(path)
    assert again == result
    assert [[list(map(type, row.values())) for row in rows] for rows in again.tables.values()] == [
        [list(map(type, row.values())) for row in rows] for rows in result.tables.values()
    ]
    assert not again.passed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(tables=TABLES)
def test_any_table_is_read_back_exactly(path: Path, tables: dict[str, list[Row]]) -> None:
    result = Result("churn", 1, tables=tables)
    result.save(path)
    again = load(path)
    assert again == result
    assert repr(again.tables) == repr(result.tables)


def test_saving_again_replaces(path: Path) -> None:
    sample().save(path)
    Result("collapse", 2).save(path)
    assert load(path) == Result("collapse", 2)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_saved_leaves_the_earlier_result(path: Path) -> None:
    sample().save(path)
    broken = Result("churn", 1, parameters={"peers": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        broken.save(path)
    assert load(path) == sample()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_no_number_is_none_and_missing_columns_are_none(path: Path) -> None:
    nan, endless = float("nan"), float("inf")
    result = Result("churn", 1, figures=[Figure("rate", nan)], tables={"nodes": [{"a": 1}, {"b": endless}]})
    result.save(path)
    assert load(path).figures == [Figure("rate", None)]
    assert load(path).tables == {"nodes": [{"a": 1, "b": None}, {"a": None, "b": None}]}
    assert completed([]) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no JSON"),
        (b"\xff{", "holds no JSON"),
        (b"[" * 100_000, "holds no JSON"),
        (b"[]", "no result"),
        (b"{}", "run the scenario again"),
        (b'{"format": 99}', "run the scenario again"),
        (b'{"format": 1}', "damaged"),
        (b'{"format": 1, "tables": {}, "figures": 3, "checks": []}', "damaged"),
        (b'{"format": 1, "tables": {}, "figures": [], "checks": [], "colour": 1}', "damaged"),
    ],
)
def test_what_is_no_result_is_said_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ResultError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_file_one_byte_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    sample().save(path)
    monkeypatch.setattr(results, "RESULT_BYTES_MAX", path.stat().st_size)
    assert load(path) == sample()
    monkeypatch.setattr(results, "RESULT_BYTES_MAX", path.stat().st_size - 1)
    with pytest.raises(ResultError, match="too large"):
        load(path)


def test_missing_results_and_tables_are_said(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="there is no result at"):
        load(tmp_path / "none")
    sample().save(tmp_path / "run")
    (tmp_path / "run" / "lookups.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(ResultError, match=r"lookups\.parquet cannot be read"):
        load(tmp_path / "run")
    (tmp_path / "run" / "lookups.parquet").unlink()
    with pytest.raises(ResultError, match=r"lookups\.parquet cannot be read"):
        load(tmp_path / "run")


def test_places_that_cannot_be_written_are_noticed_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thing").write_text("mine")
    (tmp_path / "folder.json").mkdir()
    for wrong, words in [
        ("file", "is a file"),
        ("mine", "other things"),
        ("folder.json", "is a folder"),
        ("no/where.json", "there is no folder"),
        ("no/where", "there is no folder"),
    ]:
        with pytest.raises(ResultError, match=words):
            ensure_writable(tmp_path / wrong)
    for right in ("new", "new.json"):
        ensure_writable(tmp_path / right)


def test_a_folder_that_may_not_be_written_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ResultError, match="cannot be written to"):
        ensure_writable(tmp_path / "new.json")


def test_json_is_plain(tmp_path: Path) -> None:
    sample().save(tmp_path / "x.json")
    value = json.loads((tmp_path / "x.json").read_text())
    assert value["scenario"] == "churn"
    assert value["tables"]["lookups"][0]["node"] == 3


def test_a_missing_package_of_the_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(
        MissingExtraError,
        match=r"matplotlib is missing: in the checkout, run: .venv/bin/python -m pip install -e '.\[simulate\]'",
    ):
        load_extra("matplotlib.figure")
    with pytest.raises(ModuleNotFoundError):
        load_extra("simulations.nowhere")
