"""`[presence]`: who may see whether this node's person is there, and whether they are in a call."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from p2psip.app.settings_section import Section
from p2psip.presence.ports import Permissions

PEOPLE_MAX = 1_000


def _choice(value: object) -> object:
    if value not in ("overlay", "nobody") and not isinstance(value, list | tuple):
        raise ValueError('take "overlay", "nobody", or a list of people such as ["bob"]')
    return value


People = Annotated[
    Literal["overlay", "nobody"] | Annotated[tuple[str, ...], Field(max_length=PEOPLE_MAX)], BeforeValidator(_choice)
]


class PresenceSettings(Section):
    """`[presence]`: "overlay" (all members), "nobody", or a list of addresses; own phones see everything.

    `visible_to`: open or closed, with activities and notes. `busy_to`: that there is a call, never with whom. `watch_seconds`: how
    long a subscription at another node lives; half of it, and ten seconds, is how long a node that died is shown as there.
    """

    visible_to: People = "overlay"
    busy_to: People = "nobody"
    watch_seconds: Annotated[int, Field(ge=10, le=3_600)] = 120

    def permissions(self, overlay: str) -> Permissions:
        """The same for `p2psip.presence`; plain names are completed with the overlay's."""
        return Permissions(_people(self.visible_to, overlay), _people(self.busy_to, overlay), self.watch_seconds)


def _people(chosen: People, overlay: str) -> frozenset[str] | None:
    if chosen == "overlay":
        return None
    if chosen == "nobody":
        return frozenset()
    return frozenset((name if "@" in name else f"{name}@{overlay}").removeprefix("sip:").lower() for name in chosen)
