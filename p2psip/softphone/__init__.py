"""Floor 3: a small SIP phone of our own, for the command line, the demo and the tests."""
