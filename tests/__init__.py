"""Tests: a file per source file, and suites against real programs under tests/interop."""
