"""Network namespaces: made by `ip`, entered by threads for sockets, by `ip netns exec` for processes.

A namespace belongs to a thread, so a thread of its own enters it, makes its sockets there and ends; the sockets stay in the
namespace and may be used from everywhere.
"""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tests.interop.programs import program

Result = TypeVar("Result")

NAMESPACE_FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x4000_0000
# Every namespace: no waiting for duplicate addresses, bridges are switches and not routers.
SETTINGS = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/ipv4/ping_group_range": "0 0",
}
ROUTER_SETTINGS = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}

_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(AssertionError):
    """A command of the laboratory failed; the text holds its words and its input."""


def random_prefix() -> str:
    """A prefix for the namespaces of one laboratory."""
    return f"p2p{secrets.token_hex(3)}"


class Namespace:
    """One network namespace by its full name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def prefix(self) -> list[str]:
        """What to put before a command so that it runs inside."""
        return [program("ip"), "netns", "exec", self.name]

    def run(self, function: Callable[[], Result]) -> Result:
        """Run `function` in a thread inside this namespace, wait, and hand on its result or its error."""
        results: list[Result] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                self.enter()
                results.append(function())
            except BaseException as error:  # handed on to the caller below
                errors.append(error)

        thread = threading.Thread(target=inside, name=self.name, daemon=True)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def enter(self) -> None:
        """Move the calling thread into this namespace, for good."""
        descriptor = os.open(NAMESPACE_FOLDER / self.name, os.O_RDONLY)
        try:
            if _libc.setns(descriptor, CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), self.name)
        finally:
            os.close(descriptor)

    def socket(
        self, family: socket.AddressFamily = socket.AF_INET, kind: socket.SocketKind = socket.SOCK_DGRAM
    ) -> socket.socket:
        """A new socket of this namespace."""
        return self.run(lambda: socket.socket(family, kind))

    def ip(self, lines: Iterable[str]) -> None:
        """Run a batch of `ip` commands inside."""
        command([program("ip"), "-n", self.name, "-batch", "-"], "\n".join(lines))

    def nft(self, rules: str) -> None:
        """Load nftables rules inside."""
        command([*self.prefix, program("nft"), "-f", "-"], rules)

    def output(self, *words: str) -> str:
        """Run a command inside, and give what it prints."""
        return command([*self.prefix, *words], "")

    def configure(self, settings: dict[str, str]) -> None:
        """Write kernel settings below net/ of this namespace; a bridge's may be missing where no bridge is."""

        def write() -> None:
            for path, value in settings.items():
                file = Path("/proc/sys") / path
                if file.exists():
                    file.write_text(value)

        self.run(write)

    def start(self, words: list[str]) -> "subprocess.Popen[bytes]":
        """Start a program inside; its id is the program's own, because `ip netns exec` becomes it."""
        return subprocess.Popen([*self.prefix, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def process(self, words: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
        """A program that runs inside as long as the block does."""
        process = self.start(words)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def process_ids(self) -> list[int]:
        """The processes inside, all of them started by this laboratory."""
        return [int(word) for word in command([program("ip"), "netns", "pids", self.name], "").split()]

    def kill_processes(self) -> None:
        """kill -9 to each of them."""
        for number in self.process_ids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def make_namespaces(names: Iterable[str]) -> dict[str, Namespace]:
    """Make namespaces; either all or none exist afterwards."""
    made = {name: Namespace(name) for name in names}
    try:
        root_ip(f"netns add {name}" for name in made)
        root_ip_all(made.values(), ["link set lo up"])
    except BaseException:
        remove_namespaces(made)
        raise
    return made


def remove_namespaces(names: Iterable[str]) -> None:
    """Remove those that exist."""
    there = set(os.listdir(NAMESPACE_FOLDER)) if NAMESPACE_FOLDER.exists() else set()
    root_ip(f"netns del {name}" for name in names if name in there)


def root_ip(lines: Iterable[str]) -> None:
    """`ip` commands that name their namespaces themselves."""
    command([program("ip"), "-batch", "-"], "\n".join(lines))


def root_ip_all(namespaces: Iterable[Namespace], lines: list[str]) -> None:
    """The same few `ip` commands in each namespace."""
    for namespace in namespaces:
        namespace.configure(SETTINGS)
        namespace.ip(lines)


def command(words: list[str], text: str) -> str:
    """Run a program to its end with `text` as its input; CommandFailed with its words when it fails."""
    done = subprocess.run(words, input=text.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise CommandFailed(f"{' '.join(words)}: {said}\n{text}")
    return done.stdout.decode()
