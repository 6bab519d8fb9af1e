"""Files of a researcher's own: read as text, run once to register the scenarios in them, and named by the digest of their text.

Text, because a sweep sends it to workers that have no such file. So a study is one file: it imports packages, not its neighbours.
"""

import hashlib
import importlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from p2psip.base.errors import P2psipError
from simulations.scenario import scenarios

STUDY_BYTES_MAX = 1_000_000
DIGEST_DIGITS = 16
_WRONG = (
    P2psipError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class StudyError(P2psipError):
    """A study that cannot be read or run: one sentence, with the line where there is one."""


@dataclass(frozen=True, slots=True)
class Study:
    """A module with scenarios, checkers or hostile peers of the researcher's own."""

    name: str
    source: str

    @property
    def digest(self) -> str:
        """Of the text: what was run."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:DIGEST_DIGITS]

    @property
    def module_name(self) -> str:
        """Under which it is loaded: other sources never share a name."""
        return f"study_{self.digest}"


def read_study(path: Path) -> Study:
    """The text of a study; raises StudyError."""
    try:
        with path.open("rb") as file:
            raw = file.read(STUDY_BYTES_MAX + 1)
        source = raw.decode()
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path} is no Python source") from None
    if len(raw) > STUDY_BYTES_MAX:
        raise StudyError(f"{path} is larger than {STUDY_BYTES_MAX} bytes")
    return Study(path.name, source)


def load_study(study: Study) -> list[str]:
    """Run the study, which registers its scenarios, and give their names; raises StudyError."""
    importlib.import_module("simulations.scenarios")  # first: so a name that the project uses is refused
    module = ModuleType(study.module_name, f"A study from {study.name}.")
    module.__file__ = study.name
    sys.modules[study.module_name] = module
    try:
        exec(compile(study.source, study.name, "exec"), module.__dict__)
    except _WRONG as error:
        raise StudyError(f"{study.name} cannot be loaded: {_words(error, study.name)}") from None
    return [each.name for each in scenarios() if each.function.__module__ == study.module_name]


def load_studies(studies: tuple[Study, ...]) -> None:
    """Run the studies; each time anew, for another study may have used the same names since."""
    for study in studies:
        load_study(study)


def load_named(text: str) -> tuple[Study, str]:
    """Load `FILE.py:scenario`, or `FILE.py` that has only one, and give it with the scenario's name; raises StudyError."""
    place, name = text, ""
    if not text.endswith(".py"):
        place, _, name = text.rpartition(":")
    study = read_study(Path(place))
    names = load_study(study)
    if not names:
        raise StudyError(f"{place} has no scenario: decorate a function with @scenario(NAME), see docs/simulation.md")
    if not name and len(names) > 1:
        raise StudyError(f"{place} has {len(names)} scenarios: say which, {place}:{names[0]} for example")
    if name and name not in names:
        raise StudyError(f"{place} has no scenario {name}; it has {', '.join(names)}")
    return study, name or names[0]


def is_study(text: str) -> bool:
    """Whether this names a study, not a scenario of the project."""
    return text.endswith(".py") or ".py:" in text


def _words(error: BaseException, name: str) -> str:
    line = _line(error, name)
    where = f"line {line}: " if line else ""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = "" if isinstance(error, P2psipError) else f"{type(error).__name__}: "
    return " ".join(f"{where}{kind}{said}".split())


def _line(error: BaseException, name: str) -> int | None:
    """The last line of the study that was reached."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return lines[-1] if lines else None
