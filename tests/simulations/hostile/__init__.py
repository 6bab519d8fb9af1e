"""Tests of the hostile nodes of simulations."""
