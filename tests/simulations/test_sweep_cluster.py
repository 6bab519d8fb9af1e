"""Sweeps on real worker processes: workers that die, points that fail, a scheduler elsewhere, and nothing left behind."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from simulations.results import Result
from simulations.sweep.cluster import ATTEMPTS_MAX, on_scheduler, on_this_machine
from simulations.sweep.plan import Point, SweepError
from simulations.sweep.work import Task


def task(seed: int, **parameters: int | float | bool | str) -> Task:
    return Task(Point("tiny", tuple(sorted(parameters.items())), seed), (), (), "code")


def work(asked: Task) -> Result:
    """What the points of these tests do; `folder` counts how often a point was begun."""
    said = dict(asked.point.parameters)
    if "folder" in said:
        mark = Path(str(said["folder"])) / f"{asked.point.seed}-{time.monotonic_ns()}"
        mark.touch()
        begun = len(list(mark.parent.glob(f"{asked.point.seed}-*")))
        if begun <= int(said.get("dies", 0)):
            os._exit(1)
    if said.get("raises"):
        raise RuntimeError("it had to fail\nin two lines")
    return Result("tiny", asked.point.seed, parameters={"pid": os.getpid()})


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_points_run_in_processes_of_their_own_which_end_with_the_block(tmp_path: Path) -> None:
    wanted = [
        task(1),
        task(2, folder=str(tmp_path), dies=1),
        task(3, raises=True),
        task(4, folder=str(tmp_path), dies=99),
    ]
    with on_this_machine(processes=2) as cluster:
        assert cluster.cores == 2
        answers = {asked.point.seed: (result, reason) for asked, result, reason in cluster.run(work, wanted)}
    assert workers() == []
    one, two = answers[1][0], answers[2][0]
    assert one is not None
    assert two is not None
    assert one.parameters["pid"] != os.getpid()
    assert len(list(tmp_path.glob("2-*"))) >= 2
    assert answers[3] == (None, "RuntimeError: it had to fail")
    assert answers[4] == (None, "its worker died again and again")
    assert len(list(tmp_path.glob("4-*"))) == ATTEMPTS_MAX


def test_the_workers_of_a_scheduler_elsewhere_are_used_and_left_running() -> None:
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as elsewhere,
    ):
        for _ in range(2):
            with on_scheduler(elsewhere.scheduler_address) as cluster:
                answers = list(cluster.run(work, [task(seed) for seed in range(5)]))
            assert {asked.point.seed for asked, _, _ in answers} == {0, 1, 2, 3, 4}


def test_a_scheduler_without_workers_is_said() -> None:
    with (
        LocalCluster(
            n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as elsewhere,
        pytest.raises(SweepError, match="has no workers"),
        on_scheduler(elsewhere.scheduler_address),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1", "nonsense://there", "tcp://127.0.0.1:port", "tls://127.0.0.1:1"]
)
def test_a_scheduler_that_is_not_there_is_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.sweep.cluster.CONNECT_SECONDS_MAX", 0.3)
    with pytest.raises(SweepError, match="there is no Dask scheduler at") as caught, on_scheduler(address):
        raise AssertionError
    assert "\n" not in str(caught.value)


def test_somebody_who_accepts_and_says_nothing_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.sweep.cluster.CONNECT_SECONDS_MAX", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SweepError, match="it does not answer"), on_scheduler(address):
            raise AssertionError


def test_nothing_is_bound_but_loopback() -> None:
    with on_this_machine(processes=1):
        family = [psutil.Process(), *workers()]
        bound = [
            each.laddr.ip for process in family for each in process.net_connections("inet") if each.status == "LISTEN"
        ]
    assert len(family) == 2
    assert set(bound) == {"127.0.0.1"}
