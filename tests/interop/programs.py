"""Finding the foreign programs; a missing one is an error with the way out."""

import os
import shutil
import socket


def program(name: str) -> str:
    """The full path of a peer program."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{name} is not installed; `make peers` as root installs all peer programs")
    return found


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of loopback that is free at this moment."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
