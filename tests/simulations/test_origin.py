"""The id of the code is found in a checkout and replaced by the version elsewhere; nothing that git does can fail a run."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulations import origin


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    origin.commit.cache_clear()
    yield
    origin.commit.cache_clear()


def test_a_checkout_tells_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(origin, "_ROOT", tmp_path)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert len(origin.commit()) >= 7
    assert head.startswith(origin.commit())


def test_without_a_checkout_it_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_ROOT", tmp_path)
    assert origin.commit() == origin.version()


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 5)])
def test_a_git_that_fails_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise error

    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(origin, "_ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", fail)
    assert origin.commit() == origin.version()
