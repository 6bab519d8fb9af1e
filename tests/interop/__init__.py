"""Suites against real programs: sipp, baresip, tshark. A missing program is an error, never a skip."""
