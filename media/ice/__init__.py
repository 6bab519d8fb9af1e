"""ICE as a core (RFC 8445, RFC 7675, RFC 8839), on aioice's codec, candidates and priorities."""
