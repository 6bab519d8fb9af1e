"""Where a dialled name or number leads outside of this node: dial plan, ENUM (RFC 6116) and SIP servers (RFC 3263)."""
