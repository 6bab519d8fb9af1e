"""A copy of the checkout whose cores are compiled to machine code by mypyc, for long simulations: `make compiled`.

The same source, nothing else: a run has the same trace to the byte, in about two thirds of the time. The copy stands on its own, so
that nothing compiled ever shadows a source that somebody edits.

Compiled classes cannot be inherited from, so what studies and hostile peers build on (nodes, checkers) is left as it is. What
mypyc 2.4 takes differently: a `cached_property` is not cached, a function that a property gives is called as a method, tuples have
no identity, a class with `__lt__` alone has no hash, a pattern `bytes() | None as name` binds nothing, and a name that C knows
(`_signed`, `_real`) is none for an attribute. The test of the traces would show it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from p2psip.base.errors import LocalError
from simulations.origin import COMMIT, commit

PACKAGES = ("p2psip", "overlay", "bootstrap", "media", "simulations", "benchmarks")
BASE = ("certificates", "chance", "codec", "configuration", "grants", "keys", "timers")
SIMULATIONS = ("ledger", "lookups", "minutes", "recorder", "swarm", "trace", "world")
FOLDERS = ("network", "workloads")
NOT_COMPILED = ("overlay/service.py", "overlay/sockets.py")
LAUNCHER = """#!/bin/sh
PYTHONSAFEPATH=1 PYTHONPATH={folder} exec {python} "$@"
"""


def modules(root: Path) -> list[str]:
    """What is compiled, as paths below `root`."""
    found = [
        *sorted((root / "overlay").glob("*.py")),
        *(root / f"p2psip/base/{name}.py" for name in BASE),
        *(root / f"simulations/{name}.py" for name in SIMULATIONS),
        *(path for folder in FOLDERS for path in sorted((root / "simulations" / folder).glob("*.py"))),
    ]
    named = [str(path.relative_to(root)) for path in found if path.name != "__init__.py"]
    return [name for name in named if name not in NOT_COMPILED]


def copy_compiled(source: Path, folder: Path, *, optimisation: str = "3") -> Path:
    """Make the copy of the checkout `source` in `folder`, in the place of one that is there; the Python to run there.

    LocalError when `folder` is something else, which would be lost.
    """
    if folder.exists() and not (folder / COMMIT).exists():
        raise LocalError(f"{folder} is no compiled copy: name a new folder")
    making = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for package in PACKAGES:
        shutil.copytree(source / package, making / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (making / COMMIT).write_text(commit())
    settings = str(source / "pyproject.toml")
    command = [sys.executable, "-m", "simulations.compiled", "--extensions", optimisation, settings]
    subprocess.run(command, cwd=making, check=True, env={**os.environ, "PYTHONPATH": str(source)})
    shutil.rmtree(making / "build")
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    launcher = folder / "python"
    launcher.write_text(LAUNCHER.format(folder=shlex.quote(str(folder)), python=shlex.quote(sys.executable)))
    launcher.chmod(0o755)
    return launcher


def _build_extensions(optimisation: str, settings: str) -> None:
    """In the working directory, beside the sources; `settings` are those of mypy.

    Floats stay exact: compilers that assume fused multiplication are told not to.
    """
    from mypyc.build import mypycify
    from setuptools import setup

    os.environ["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} -ffp-contract=off"
    extensions = mypycify(
        ["--config-file", settings, *modules(Path.cwd())], opt_level=optimisation, debug_level="0", group_name="p2psip"
    )
    setup(name="p2psip", packages=[], ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])


def main(arguments: list[str]) -> None:
    """`FOLDER`: make the copy there and say how to use it."""
    if arguments[:1] == ["--extensions"]:
        _build_extensions(*arguments[1:])
        return
    if len(arguments) != 1:
        sys.exit("p2psip: name the folder of the copy: python -m simulations.compiled build/compiled")
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        sys.exit(f"p2psip: there is no C compiler ({compiler}): install one (apt-get install gcc python3-dev)")
    try:
        launcher = copy_compiled(Path(__file__).resolve().parent.parent, Path(arguments[0]).resolve())
    except (LocalError, OSError) as error:
        sys.exit(f"p2psip: {error}")
    except subprocess.CalledProcessError:
        sys.exit("p2psip: it could not be compiled, see above; without it, p2psip simulate does the same, more slowly")
    print(f"{launcher} -m p2psip.app simulate …")


if __name__ == "__main__":
    main(sys.argv[1:])
