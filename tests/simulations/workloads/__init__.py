"""Tests of the workloads of simulations."""
