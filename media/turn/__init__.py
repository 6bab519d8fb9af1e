"""TURN (RFC 8656): the relay server of a super-node and the client side towards one."""
