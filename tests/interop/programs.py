"""Finding the foreign programs; a missing one is an error with the way out."""

import os
import secrets
import shutil
import socket

PORT_MIN, PORT_MAX = 61_000, 65_500


def program(name: str) -> str:
    """The full path of a peer program."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{name} is not installed; `make peers` as root installs all peer programs")
    return found


def free_port() -> int:
    """A port of loopback that is free for UDP and TCP at this moment, and that no connection gets for its own end.

    Those get ports from 32768 to 60999 (`net.ipv4.ip_local_port_range`): what is free there may be taken a moment later.
    """
    while True:
        port = PORT_MIN + secrets.randbelow(PORT_MAX - PORT_MIN + 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
