"""Probes of a NAT by plain sockets inside the namespaces: what it maps and what it lets in (RFC 4787, RFC 5780 §4)."""

import contextlib
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from tests.nat.lab import Site

ARRIVES_SECONDS = 0.5
ABSENT_SECONDS = 0.1
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a site does: is the mapping the same for other ports and hosts, and who may answer unasked."""

    same_mapping: bool
    other_port_may_send: bool
    other_host_may_send: bool


@contextlib.contextmanager
def sockets(*sites: Site, family: socket.AddressFamily = socket.AF_INET) -> Iterator[list[socket.socket]]:
    """A UDP socket at the first host of each site."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(site.socket(family)) for site in sites]


def port_of(sock: socket.socket) -> int:
    """The local port of a socket."""
    return int(sock.getsockname()[1])


def send(sender: socket.socket, to: tuple[str, int], receiver: socket.socket) -> tuple[str, int] | None:
    """Send one packet; the source that `receiver` sees, None when it does not come."""
    data = b"probe %d" % next(_numbers)
    sender.sendto(data, to)
    return receive(receiver, data)


def is_absent(sender: socket.socket, to: tuple[str, int], receiver: socket.socket) -> bool:
    """Whether a packet does not come."""
    data = b"probe %d" % next(_numbers)
    sender.sendto(data, to)
    return receive(receiver, data, ABSENT_SECONDS) is None


def receive(receiver: socket.socket, data: bytes, seconds: float = ARRIVES_SECONDS) -> tuple[str, int] | None:
    """The source of the packet `data`; others are passed over."""
    receiver.settimeout(seconds)
    try:
        while True:
            got, source = receiver.recvfrom(2048)
            if got == data:
                return source[0], source[1]
    except TimeoutError:
        return None


def mapped(sock: socket.socket, observer: Site, observing: socket.socket) -> tuple[str, int]:
    """The outer address of a socket as a public host sees it."""
    seen = send(sock, (observer.ipv4, port_of(observing)), observing)
    assert seen is not None, "the packet to a public host did not come"
    return seen


def behaviour(site: Site, one: Site, other: Site) -> Behaviour:
    """Probe `site` from two public hosts: `one` with two ports, and `other`."""
    with sockets(site, one, one, other) as (inner, first, second_port, other_host):
        outer = mapped(inner, one, first)
        other_port_may_send = not is_absent(second_port, outer, inner)
        other_host_may_send = not is_absent(other_host, outer, inner)
        by_port = mapped(inner, one, second_port)
        by_host = mapped(inner, other, other_host)
        return Behaviour(outer == by_port == by_host, other_port_may_send, other_host_may_send)
