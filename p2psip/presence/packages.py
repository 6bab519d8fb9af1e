"""The event packages that this node serves: `presence` (RFC 3856), `dialog` (RFC 4235), `message-summary` (RFC 3842)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from p2psip.presence import dialog_info, message_summary, pidf

PRESENCE, DIALOG, MESSAGE_SUMMARY = "presence", "dialog", "message-summary"


class State(Protocol):
    """What watchers are told of; a value."""

    def write(self, entity: str, version: int = 0, before: object = None) -> bytes:
        """The document about `sip:entity`; `before` is what the watcher was told last, None: everything."""


@dataclass(frozen=True, slots=True)
class Package:
    """The rules of one event package. Lifetimes in seconds; a watcher is told anew once each `interval_seconds` at most."""

    name: str
    content_type: str
    nothing: State
    parse: Callable[[bytes], State]
    compose: Callable[[Sequence[Any]], State]
    seconds_default: int
    interval_seconds: float
    can_be_published: bool = True


PACKAGES = {
    package.name: package
    for package in (
        Package(PRESENCE, pidf.PIDF_TYPE, pidf.CLOSED, pidf.parse_pidf, pidf.compose, 3_600, 5.0),
        Package(
            DIALOG,
            dialog_info.DIALOG_INFO_TYPE,
            dialog_info.Dialogs(),
            dialog_info.parse_dialog_info,
            dialog_info.compose,
            3_600,
            1.0,
            can_be_published=False,
        ),
        Package(
            MESSAGE_SUMMARY,
            message_summary.SUMMARY_TYPE,
            message_summary.Waiting(),
            message_summary.parse_summary,
            message_summary.compose,
            3_600,
            1.0,
        ),
    )
}
ALLOW_EVENTS = ("Allow-Events", ", ".join(PACKAGES))
"""What a refusal with 489 must tell (RFC 6665 §8.2.2)."""


def event_of(value: str | None) -> tuple[str, str | None]:
    """The package and the id parameter of an Event header field (RFC 6665 §8.2.1); the name is "" without one."""
    name, _semicolon, rest = (value or "").partition(";")
    found = [each.partition("=")[2].strip() for each in rest.split(";") if each.partition("=")[0].strip() == "id"]
    return name.strip(), found[0] if found else None
