"""The command line that repeats a run, from its result."""

import shlex

from simulations.results import Cell, Result

OWN_OPTIONS = ("peers", "minutes")  # parameters that have an option of their own


def repeat_command(result: Result) -> str:
    """What to type to run exactly this again."""
    words = ["p2psip", "simulate", result.named]
    for name in OWN_OPTIONS:
        if name in result.parameters:
            words += [f"--{name}", value_text(result.parameters[name])]
    words += ["--seed", str(result.seed), "--sealing", result.sealing]
    for name, value in result.parameters.items():
        if name not in OWN_OPTIONS:
            words += ["--set", f"{name}={value_text(value)}"]
    return shlex.join(words)


def value_text(value: Cell) -> str:
    """A value as `--set` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
