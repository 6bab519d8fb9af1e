"""`make bench`: run every benchmark (or those named on the command line) and print one table for each."""

import importlib
import pkgutil
import sys

import benchmarks
from benchmarks.table import show

NOT_BENCHMARKS = {"__main__", "network", "table"}


def main() -> int:
    """Run the benchmarks; the exit code is 2 when a name is unknown."""
    known = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in NOT_BENCHMARKS]
    wanted = sys.argv[1:] or known
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in wanted:
        module = importlib.import_module(f"benchmarks.{name}")
        if hasattr(module, "measure"):
            show((module.__doc__ or name).splitlines()[0], module.measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
