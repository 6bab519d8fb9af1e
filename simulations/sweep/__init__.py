"""Sweeps: a grid of runs of one scenario, on the cores of this machine or on a Dask cluster, and the curves that come of it.

`plan.py` reads the file, `study.py` leads, `work.py` is what a worker does, `cluster.py` is Dask, `folder.py` keeps what is done,
`curves.py` and `page.py` draw. Only `cluster.py` and `page.py` need the extra `simulate`, and are loaded when they are needed.
"""

from simulations.sweep.plan import SweepError
from simulations.sweep.study import SweepOutcome, main_sweep

__all__ = ["SweepError", "SweepOutcome", "main_sweep"]
