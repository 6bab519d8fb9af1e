"""Hostile members: the real core with real keys and certificates, and a few hooks that let it lie, drop, grind and grab."""
