"""Who is in a call: the documents of the `dialog` package (RFC 4235), for the busy lamps of phones.

The first document that a watcher gets is whole, later ones tell the dialogs that have changed; each has the next version.
Between nodes every document is whole: a node writes anew what its own phones are told.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from p2psip.base.errors import RemoteError
from p2psip.presence.markup import HEAD, element, parse_markup, text_of, words

DIALOG_INFO_TYPE = "application/dialog-info+xml"
DIALOGS_MAX = 64
IDENTITY_CHARACTERS_MAX = 300

DialogState = Literal["trying", "proceeding", "early", "confirmed", "terminated"]
Direction = Literal["initiator", "recipient"]

_SPACE = "urn:ietf:params:xml:ns:dialog-info"
_INFO = "{" + _SPACE + "}"
_ID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class CallState:
    """One call of the person; `remote` is the other end (`sip:…`), or None when the watcher may not know."""

    id: str
    state: DialogState
    direction: Direction
    remote: str | None = None

    def write(self, entity: str) -> str:
        """The element <dialog>."""
        inside = element("state", self.state) + element("local", element("identity", words(f"sip:{entity}")))
        if self.remote is not None:
            inside += element("remote", element("identity", words(self.remote)))
        return element("dialog", inside, id_=self.id, direction=self.direction)


@dataclass(frozen=True, slots=True)
class Dialogs:
    """All calls of a person that are not over."""

    calls: tuple[CallState, ...] = ()

    @property
    def is_busy(self) -> bool:
        """Whether the person talks, or a phone of theirs is in use."""
        return any(call.state == "confirmed" or call.direction == "initiator" for call in self.calls)

    def without_names(self) -> "Dialogs":
        """The same for those who may know that there are calls, but not with whom."""
        return Dialogs(tuple(CallState(call.id, call.state, call.direction) for call in self.calls))

    def write(self, entity: str, version: int = 0, before: object = None) -> bytes:
        """The document about `sip:entity`: what has changed since the state `before`, or everything."""
        told = list(self.calls)
        is_partial = isinstance(before, Dialogs)
        if isinstance(before, Dialogs):
            now = {call.id for call in self.calls}
            over = [call for call in before.calls if call.id not in now]
            told = [call for call in self.calls if call not in before.calls]
            told += [CallState(call.id, "terminated", call.direction, call.remote) for call in over]
        inside = "\n".join(call.write(entity) for call in told)
        kind = "partial" if is_partial else "full"
        attributes = {"xmlns": _SPACE, "version": str(version), "state": kind, "entity": f"sip:{entity}"}
        return (HEAD + element("dialog-info", inside and f"\n{inside}\n", **attributes) + "\n").encode()


def parse_dialog_info(data: bytes) -> Dialogs:
    """The calls that a whole document tells; RemoteError(400) when it is none, 413 above a bound."""
    root = parse_markup(data)
    if root.tag != f"{_INFO}dialog-info" or root.get("state") != "full":
        raise RemoteError("a document that is no whole <dialog-info>")
    found = root.findall(f"{_INFO}dialog")
    if len(found) > DIALOGS_MAX:
        raise RemoteError(f"a document of more than {DIALOGS_MAX} dialogs", status=413)
    calls = []
    for number, each in enumerate(found):
        name, state, direction = each.get("id", ""), text_of(each.find(f"{_INFO}state")), each.get("direction")
        if state == "terminated" or state not in get_args(DialogState):
            continue
        remote = text_of(each.find(f"{_INFO}remote/{_INFO}identity"))[:IDENTITY_CHARACTERS_MAX]
        calls.append(
            CallState(
                name if _ID.fullmatch(name) else f"d{number}",
                cast(DialogState, state),
                "initiator" if direction == "initiator" else "recipient",
                remote or None,
            )
        )
    return Dialogs(tuple(calls))


def compose(states: Sequence[Dialogs]) -> Dialogs:
    """The calls of all devices of a person."""
    calls = {call.id: call for state in states for call in state.calls}
    return Dialogs(tuple(calls.values())[:DIALOGS_MAX])
