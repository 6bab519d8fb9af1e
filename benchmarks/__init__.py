"""Benchmarks: each file measures one part side by side with its named peer, and gives rows for the same table.

A row is a dictionary with the keys name, value, unit, peer, peer_value, ratio, goal; `value` and what follows may be None.
"""
