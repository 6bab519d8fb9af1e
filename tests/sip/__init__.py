"""Tests of the SIP core: syntax, sessions, digest."""
