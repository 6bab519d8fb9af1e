"""The one door to what `pip install -e '.[simulate]'` brings: matplotlib, pyarrow, dask, distributed.

A simulation runs without any of them; reports, Parquet and sweeps do not. Modules that need one import it at their top and
are themselves loaded through `load`, so that the command line starts fast and a missing package is one clear sentence.
"""

import importlib
from types import ModuleType

from p2psip.base.errors import P2psipError

EXTRA_PACKAGES = frozenset({"dask", "distributed", "matplotlib", "numpy", "pyarrow"})


class MissingExtraError(P2psipError):
    """A package of the optional extra `simulate` is not installed."""


def load(module: str) -> ModuleType:
    """The module of this name, imported now; raises MissingExtraError if it needs a package of the extra that is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRA_PACKAGES:
            raise
        raise MissingExtraError(
            f"{package} is missing: in the checkout, run: .venv/bin/python -m pip install -e '.[simulate]'"
        ) from error
