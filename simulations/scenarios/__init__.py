"""The scenarios of the project. Importing this package registers them all (`simulations.scenario`)."""

from simulations.scenarios import attacks, churn, collapses, everyday, referee, village

__all__ = ["attacks", "churn", "collapses", "everyday", "referee", "village"]
