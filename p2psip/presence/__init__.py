"""Who is there, who is talking and what waits: event packages over SUBSCRIBE, NOTIFY and PUBLISH (RFC 6665, RFC 3903)."""
