"""Scenarios: functions with a name, whose keyword-only parameters are what the command line and a sweep can set."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2psip.base.errors import P2psipError

if TYPE_CHECKING:
    from simulations.run import Run

Value = int | float | str | bool
Function = Callable[..., None]


class ScenarioError(P2psipError):
    """A scenario or a parameter that does not exist, or a value that does not fit; the text says what there is."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A registered scenario. `defaults` are its parameters with their default values, in order."""

    name: str
    summary: str
    function: Function
    defaults: Mapping[str, Value]

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """All parameters, the given ones converted to the type of their default; ScenarioError if one does not fit."""
        unknown = sorted(set(given) - set(self.defaults))
        if unknown:
            raise ScenarioError(
                f"the scenario {self.name} has no parameter {unknown[0]}; it has {', '.join(self.defaults) or 'none'}"
            )
        return {name: _convert(name, given.get(name, default), default) for name, default in self.defaults.items()}

    def __call__(self, run: "Run", parameters: Mapping[str, Value]) -> None:
        """Run it."""
        self.function(run, **parameters)


OWN_SCENARIOS = "simulations.scenarios."
_scenarios: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Function], Function]:
    """Register the function below under `name`; its first docstring line is the summary."""

    def register(function: Function) -> Function:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        defaults = {each.name: each.default for each in parameters}
        wrong = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY or each.default is each.empty]
        if wrong:
            raise ScenarioError(f"the parameter {wrong[0]} of scenario {name} must be keyword-only and have a default")
        _refuse_taken(name, function)
        summary = (inspect.getdoc(function) or name).partition("\n")[0]
        _scenarios[name] = Scenario(name, summary, function, defaults)
        return function

    return register


def demand(is_so: bool, parameter: str, words: str) -> None:
    """Refuse a value that a scenario cannot run with: `demand(victims > 0, "victims", "more than 0")`."""
    if not is_so:
        raise ScenarioError(f"the parameter {parameter} must be {words}")


def scenarios() -> list[Scenario]:
    """All that are registered, by name (import `simulations.scenarios` for those of the project)."""
    return [_scenarios[name] for name in sorted(_scenarios)]


def find_scenario(name: str) -> Scenario:
    """The scenario of that name; ScenarioError, which lists all names, if there is none."""
    found = _scenarios.get(name)
    if found is None:
        raise ScenarioError(f"there is no scenario {name}; there are {', '.join(sorted(_scenarios))}")
    return found


def _refuse_taken(name: str, function: Function) -> None:
    """A study does not take the name of a scenario of the project, and no file uses a name twice; loading it again is neither."""
    found = _scenarios.get(name)
    if found is None:
        return
    there, here = found.function, function
    if there.__module__ == here.__module__ and there.__qualname__ != here.__qualname__:
        raise ScenarioError(f"the scenario {name} is there twice")
    if there.__module__.startswith(OWN_SCENARIOS) and not here.__module__.startswith(OWN_SCENARIOS):
        raise ScenarioError(f"the name {name} is that of a scenario of the project: choose another")


def _convert(name: str, value: Any, default: Value) -> Value:
    kind = type(default)
    try:
        if kind is bool:
            return _truth(value)
        if kind is int and (isinstance(value, bool) or float(value) != int(float(value))):
            raise ValueError
        if kind is float and not math.isfinite(float(value)):
            raise ValueError
        if kind is not str and float(value) < 0 <= float(default):
            raise ScenarioError(f"the parameter {name} must not be negative, as {value} is")
        return kind(float(value)) if kind is int else kind(value)
    except (ValueError, TypeError, OverflowError):
        raise ScenarioError(f"the parameter {name} must be {_KINDS[kind]}, not {value!r}") from None


def _truth(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "yes", "no", "1", "0"):
        raise ValueError(value)
    return text in ("true", "yes", "1")


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
