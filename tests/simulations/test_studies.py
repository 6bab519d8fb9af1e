"""A researcher's own file: its scenarios are found, and whatever is wrong with it is one sentence with the line."""

from pathlib import Path

import pytest

import simulations.scenarios
from simulations import scenario as registry
from simulations import studies
from simulations.scenario import ScenarioError, find_scenario, scenario
from simulations.studies import StudyError, is_study, load_named, read_study

STUDY = '''
from simulations.scenario import scenario


@scenario("{name}")
def first(run, *, peers: int = 3):
    """What it shows."""
'''


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulations.scenarios.__all__  # those of the project are registered by their import
    monkeypatch.setattr(registry, "_scenarios", dict(registry._scenarios))


def written(folder: Path, text: str) -> str:
    (folder / "my.py").write_text(text)
    return str(folder / "my.py")


def test_the_only_scenario_of_a_file_may_be_left_unnamed(tmp_path: Path) -> None:
    file = written(tmp_path, STUDY.format(name="mine"))
    for text in (file, f"{file}:mine", file):  # the same file again is no second scenario
        study, name = load_named(text)
        assert (study.name, name) == ("my.py", "mine")
    assert find_scenario("mine").defaults == {"peers": 3}
    assert len(study.digest) == studies.DIGEST_DIGITS


def test_of_several_scenarios_one_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, STUDY.format(name="mine") + STUDY.format(name="other").replace("first", "second"))
    assert load_named(f"{file}:other")[1] == "other"
    with pytest.raises(StudyError, match=r"has 2 scenarios: say which, .*my.py:mine for example"):
        load_named(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STUDY.format(name="churn"), "line 5: the name churn is that of a scenario of the project: choose another"),
        (STUDY.format(name="a") + STUDY.format(name="a").replace("first", "b"), "the scenario a is there twice"),
        (STUDY.format(name="a").replace(" = 3", ""), "must be keyword-only and have a default"),
        ("x = 1\ndef f(:\n", "line 2: SyntaxError: invalid syntax"),
        ("x = 1\n\ny = x / 0\n", "line 3: ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError('a\\nb')\nf()\n", "line 2: KeyError: "),
        ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError"),
        ("x = 1\n", "has no scenario: decorate a function"),
        ("x = '\0'", "SyntaxError"),
        (STUDY.format(name="mine"), "has no scenario nix; it has mine"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_named(written(tmp_path, text) + ":nix")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudyError, match="No such file"):
        read_study(tmp_path / "gone.py")
    with pytest.raises(StudyError, match="Is a directory"):
        read_study(tmp_path)
    (tmp_path / "my.py").write_bytes(b"\xff")
    with pytest.raises(StudyError, match="no Python source"):
        read_study(tmp_path / "my.py")
    monkeypatch.setattr(studies, "STUDY_BYTES_MAX", 10)
    (tmp_path / "my.py").write_bytes(b"#" * 10)
    assert read_study(tmp_path / "my.py").source == "#" * 10
    (tmp_path / "my.py").write_bytes(b"#" * 11)
    with pytest.raises(StudyError, match="larger than 10 bytes"):
        read_study(tmp_path / "my.py")


def test_a_name_of_the_project_is_its_own() -> None:
    with pytest.raises(ScenarioError, match="choose another"):

        @scenario("village")
        def mine() -> None:
            """Not registered."""


def test_studies_are_told_from_scenarios() -> None:
    assert [is_study(text) for text in ("my.py", "./a/my.py:x", "churn", "a.pyx")] == [True, True, False, False]
