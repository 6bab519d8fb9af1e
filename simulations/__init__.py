"""Simulations of many nodes with the production cores (floor 4)."""
