"""What presence needs of the world, and who may see what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from p2psip.calls.ports import Whereabouts
from p2psip.presence.message_summary import Waiting

EVERYBODY: None = None
"""All members of the overlay."""


class WatchingDirectory(Protocol):
    """The overlay as a directory whose changes can be watched."""

    async def find_again(self, address: str) -> Whereabouts:
        """Where `address` can be reached, asked anew; RemoteError(503) when the overlay cannot be asked."""

    def watch(self, address: str, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook()` when a device of `address` appears, is refreshed or goes; call the result to end it."""


class Mailbox(Protocol):
    """Where messages for absent people are kept."""

    def waiting(self, address: str) -> Waiting:
        """What waits for `address`."""

    def on_change(self, hook: Callable[[], None]) -> None:
        """Be told when that has changed."""


class NoMailbox:
    """A node that keeps no messages: what waits is only what is published."""

    def waiting(self, address: str) -> Waiting:
        """Nothing."""
        return Waiting()

    def on_change(self, hook: Callable[[], None]) -> None:
        """Nothing changes."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may see what of this node's person, by address; None is everybody in the overlay. Own phones may see all.

    `visible_to`: open or closed, activities and notes. `busy_to`: that they are in a call (never with whom).
    `watch_seconds`: how long a subscription at another node lives.
    """

    visible_to: frozenset[str] | None = EVERYBODY
    busy_to: frozenset[str] | None = frozenset()
    watch_seconds: int = 120

    def may_see(self, address: str) -> bool:
        """Whether `address` may see the person's presence."""
        return self.visible_to is None or address in self.visible_to

    def may_see_calls(self, address: str) -> bool:
        """Whether `address` may see that the person is in a call."""
        return self.busy_to is None or address in self.busy_to
