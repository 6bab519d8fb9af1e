"""Floor 2: sockets, the clock and the loop that drives a core (trio)."""
