"""Floor 0: values and small mechanisms that every core may use (no sockets, no clock, no trio)."""
