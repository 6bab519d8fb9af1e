"""The scenarios of the project. Importing this package registers them all (`simulations.scenario`)."""

from simulations.scenarios import churn

__all__ = ["churn"]
