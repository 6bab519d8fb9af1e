"""`p2psip simulate`: arguments, the progress bar and what is printed; the work is done in `simulations`, which is loaded on use."""

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from p2psip.app.show import literal
from p2psip.base.errors import P2psipError

RUN = "run"
SEALINGS = ("real", "stand-in")
SWEEP_FOLDER = Path("sweep-output")
INTERRUPTED = 130


class ScenarioGroup(typer.core.TyperGroup):
    """`simulate churn …` is `simulate run churn …`: a first word that names no command is a scenario."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the word `run` in front where it was left out."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            args = [RUN, *args]
        return super().resolve_command(ctx, args)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """What a hundred nodes would tell their owners is left out; only errors are shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class SimulateError(P2psipError):
    """Something that was asked for cannot be done; the text says what to do instead."""


app = typer.Typer(
    cls=ScenarioGroup,
    help="Simulate many nodes on a virtual clock: `p2psip simulate churn --peers 1000`, or a command below.",
    no_args_is_help=True,
)


@app.command(RUN)
def run(
    scenario: Annotated[
        str, typer.Argument(help="Name of a scenario, see `p2psip simulate list`; or FILE.py:NAME for one of your own.")
    ],
    peers: Annotated[int | None, typer.Option(min=1, help="How many peers.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run to the byte.")] = 1,
    minutes: Annotated[float | None, typer.Option(min=0, help="Virtual minutes.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the scenario (repeatable).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Save the result: FILE.json, or a folder (Parquet).")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report: FILE.html.")] = None,
    replay: Annotated[int | None, typer.Option(min=1, help="Show this lookup (row of its table) as a ladder.")] = None,
    sealing: Annotated[str, typer.Option(help="real, or stand-in (keeps no secret).")] = "stand-in",
) -> None:
    """Run a scenario (the word `run` may be left out). Exit code 1 if a checker failed."""
    if sealing not in SEALINGS:
        raise SimulateError(f"there is no sealing {literal(sealing)}: choose real or stand-in")
    parameters = _parameters(settings or [], peers, minutes)
    _ensure_places(out, report)
    importlib.import_module("simulations.scenarios")
    name, study = _study(scenario)
    running = importlib.import_module("simulations.run")
    with _Bar() as bar, quiet_logs():
        result = running.run_scenario(name, parameters, seed, sealing=sealing, watcher=bar.watch)
    if study is not None:
        result.study, result.study_digest = scenario.removesuffix(f":{name}"), study.digest
    _print_result(result)
    saved = out is None or _said(lambda: result.save(out))
    done = [saved]
    if replay is not None and not result.interrupted:
        done.append(_said(lambda: _replay(result, replay, out)))
    if report is not None:
        done.append(_said(lambda: _write(report, "report_html", result)))
    if result.interrupted:
        kept = f"what there is was saved in {out}" if out is not None and saved else "nothing was saved"
        why = ", because there was no --out" if out is None else ""
        print(f"p2psip: stopped after {result.virtual_seconds / 60:.1f} virtual minutes; {kept}{why}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if not (result.passed and all(done)):
        raise typer.Exit(1)


@app.command("list")
def list_scenarios(
    study: Annotated[
        str | None, typer.Argument(help="FILE.py: the scenarios of your own in it, not the project's.")
    ] = None,
) -> None:
    """Show the scenarios with their parameters and default values."""
    importlib.import_module("simulations.scenarios")
    found = importlib.import_module("simulations.scenario").scenarios()
    if study is not None:
        studies = importlib.import_module("simulations.studies")
        names = studies.load_study(studies.read_study(Path(study)))
        found = [each for each in importlib.import_module("simulations.scenario").scenarios() if each.name in names]
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for each in found:
        console.print(f"[bold]{literal(each.name)}[/]  {literal(each.summary)}")
        console.print(f"    {literal(', '.join(f'{name}={value}' for name, value in each.defaults.items()))}")


@app.command("report")
def report_again(
    result: Annotated[Path, typer.Argument(help="A saved result.")],
    report: Annotated[Path | None, typer.Option(help="FILE.html. [default: beside the result]")] = None,
) -> None:
    """Write the report of a saved result."""
    place = report or result.with_suffix(".html")
    _ensure_places(None, place)
    _write(place, "report_html", importlib.import_module("simulations.results").load(result))
    print(place)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A saved result.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    report: Annotated[Path | None, typer.Option(help="Write FILE.html with both laid over one another.")] = None,
) -> None:
    """Compare two saved results: figures side by side, and the checks that changed."""
    _ensure_places(None, report)
    load = importlib.import_module("simulations.results").load
    comparing = importlib.import_module("simulations.compare")
    compared = comparing.compare(load(first), load(second), (str(first), str(second)))
    print(comparing.comparison_text(compared))
    if report is not None:
        _write(report, "comparison_html", compared)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A TOML file: scenario, grid, seeds.")],
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler; this machine if left out.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the results; what is finished there is not run again.")
    ] = SWEEP_FOLDER,
) -> None:
    """Run a scenario over a grid of parameters and draw the curves."""
    study = importlib.import_module("simulations.sweep.study")
    outcome = study.main_sweep(file, scheduler=scheduler, out=out, progress=_tell_sweep)
    for line in outcome.notes:
        print(line)
    for line in (*outcome.failed, *outcome.broken):
        print(line, file=sys.stderr)
    print(outcome.summary())
    for made in (outcome.report, outcome.csv, outcome.json):
        if made is not None:
            print(made)
    if not outcome.passed:
        raise typer.Exit(INTERRUPTED if outcome.interrupted else 1)


class _Bar:
    """The progress of a run on standard error, where that is a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True, emoji=False)
        words = TextColumn("{task.fields[words]}")
        self._progress = Progress(
            BarColumn(), words, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._task: TaskID = self._progress.add_task("", total=None, words="")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def watch(self, now: Any) -> None:
        """The run has come so far (`simulations.run.Progress`)."""
        elapsed = self._progress.tasks[0].elapsed or 0.0
        speed = f", {now.done / elapsed:.1f} times real time" if elapsed > 1 else ""
        total = f" of {now.total / 60:.0f}" if now.total else ""
        failed = f", {now.failed} checks failed" if now.failed else ""
        words = (
            f"{now.done / 60:.1f}{total} virtual minutes, {now.messages:,} datagrams, {now.alive} nodes{speed}{failed}"
        )
        self._progress.update(self._task, completed=now.done, total=now.total or None, words=words)


def _tell_sweep(done: int, total: int, words: str) -> None:
    print(f"{done}/{total}  {words}", file=sys.stderr)


def _study(text: str) -> tuple[str, Any]:
    """The name of the scenario that is meant, and the study that it comes from, None if from the project."""
    studies = importlib.import_module("simulations.studies")
    if not studies.is_study(text):
        return text, None
    study, name = studies.load_named(text)
    return name, study


def _parameters(settings: list[str], peers: int | None, minutes: float | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise SimulateError(f"--set wants NAME=VALUE, for example --set session_minutes=20, not {setting}")
        given[name.replace("-", "_")] = value
    own = {"peers": peers, "minutes": minutes}
    return {**given, **{name: value for name, value in own.items() if value is not None}}


def _ensure_places(out: Path | None, report: Path | None) -> None:
    """Say now, not after an hour, that something cannot be written or that a package is missing."""
    results = importlib.import_module("simulations.results")
    extra = importlib.import_module("simulations.extra")
    if out is not None:
        results.ensure_writable(out)
        if out.suffix != ".json":
            extra.load("simulations.parquet")
    if report is not None:
        results.ensure_file_writable(report)
        extra.load("simulations.report")


def _said(step: Callable[[], None]) -> bool:
    """Whether this last step of a run succeeded; why not is said, and the other steps are done all the same."""
    try:
        step()
    except P2psipError as error:
        print(f"p2psip: {error}", file=sys.stderr)
        return False
    return True


def _replay(result: Any, number: int, out: Path | None) -> None:
    print(importlib.import_module("simulations.replay").replay_into(result, number))
    if out is not None:
        result.save(out)


def _write(path: Path, function: str, value: Any) -> None:
    pages = importlib.import_module("simulations.extra").load("simulations.report")
    importlib.import_module("simulations.results").write_atomically(path, getattr(pages, function)(value).encode())


def _print_result(result: Any) -> None:
    texts = importlib.import_module("simulations.summary")
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for text, style in texts.summary(result):
        for part in text.split("\n"):
            console.print(literal(part), style=style or None)
    for line in texts.failures(result):
        print(line, file=sys.stderr)
