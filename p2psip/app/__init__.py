"""Floor 4: command line, configuration, and the composition of a node."""
