"""Floor 3: instant messages between people (RFC 3428)."""
