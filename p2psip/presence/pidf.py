"""What is known of a person's presence: PIDF documents (RFC 3863) with the activities of RPID (RFC 4480 §3.2).

Only what is understood is taken in, and written anew: a document never passes through as it came. Addresses of phones stay
behind: the contact that others are told is the person's address.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from p2psip.base.errors import RemoteError
from p2psip.presence.markup import HEAD, element, parse_markup, text_of, words

PIDF_TYPE = "application/pidf+xml"
SERVICES_MAX = 16
NOTES_MAX = 4
NOTE_CHARACTERS_MAX = 200
ACTIVITIES_MAX = 8
ID_KEPT_MAX = 58
"""What is kept of an id that is taken already; the number behind it has room up to the 64 that are read."""
ON_THE_PHONE = "on-the-phone"
ACTIVITIES = frozenset(
    (
        *(
            "appointment",
            "away",
            "breakfast",
            "busy",
            "dinner",
            "holiday",
            "in-transit",
            "looking-for-work",
            "lunch",
            "meal",
        ),
        *("meeting", ON_THE_PHONE, "other", "performance", "permanent-absence", "playing", "presentation", "shopping"),
        *("sleeping", "spectator", "steering", "travel", "tv", "unknown", "vacation", "working", "worship"),
    )
)

_PIDF = "{urn:ietf:params:xml:ns:pidf}"
_PERSON = "{urn:ietf:params:xml:ns:pidf:data-model}"
_RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"
_SPACES = {
    "xmlns": "urn:ietf:params:xml:ns:pidf",
    "xmlns:dm": "urn:ietf:params:xml:ns:pidf:data-model",
    "xmlns:rpid": "urn:ietf:params:xml:ns:pidf:rpid",
}
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Service:
    """One tuple of PIDF: a phone or a device, and whether it takes calls."""

    id: str
    is_open: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """The state of a person. Closed when no service is open."""

    services: tuple[Service, ...] = ()
    activities: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether any device takes calls."""
        return any(service.is_open for service in self.services)

    def doing(self, activity: str) -> "Presence":
        """The same with this activity."""
        return self if activity in self.activities else replace(self, activities=(*self.activities, activity))

    def write(self, entity: str, version: int = 0, before: object = None) -> bytes:
        """The document about `sip:entity`. Open services come first: simple phones read the first one only."""
        services = sorted(self.services, key=lambda service: not service.is_open) or [Service("nobody", False)]
        parts = [_tuple_of(service, entity) for service in services]
        activities = "".join(element(f"rpid:{name}") for name in self.activities)
        notes = "".join(element("dm:note", words(note)) for note in self.notes)
        if activities or notes:
            about = (element("rpid:activities", activities) if activities else "") + notes
            parts.append(element("dm:person", about, id_="person"))
        whole = element("presence", "\n" + "\n".join(parts) + "\n", entity=f"sip:{entity}", **_SPACES)
        return (HEAD + whole + "\n").encode()


CLOSED = Presence()


def parse_pidf(data: bytes) -> Presence:
    """The state that a document tells; RemoteError(400) when it is none, 413 above a bound."""
    root = parse_markup(data)
    if root.tag != f"{_PIDF}presence":
        raise RemoteError("a presence document without <presence>")
    tuples = root.findall(f"{_PIDF}tuple")
    if len(tuples) > SERVICES_MAX:
        raise RemoteError(f"a presence document of more than {SERVICES_MAX} tuples", status=413)
    people = root.findall(f"{_PERSON}person")
    notes = [note for person in people for note in person.findall(f"{_PERSON}note")] + root.findall(f"{_PIDF}note")
    return Presence(
        tuple(_service(each, number) for number, each in enumerate(tuples)),
        _activities([*people, *tuples]),
        tuple(text_of(note)[:NOTE_CHARACTERS_MAX] for note in notes if text_of(note))[:NOTES_MAX],
    )


def compose(states: Sequence[Presence]) -> Presence:
    """One person of several devices: open if any is open. What closed devices say of a person does not count beside open ones."""
    telling = [state for state in states if state.is_open] or list(states)
    services: dict[str, Service] = {}
    for service in (service for state in states for service in state.services):
        name = service.id if service.id not in services else _other_name(service.id, services)
        services[name] = replace(service, id=name)
    kept = sorted(services.values(), key=lambda service: not service.is_open)[:SERVICES_MAX]
    activities = dict.fromkeys(activity for state in telling for activity in state.activities)
    notes = dict.fromkeys(note for state in telling for note in state.notes)
    return Presence(tuple(kept), tuple(activities)[:ACTIVITIES_MAX], tuple(notes)[:NOTES_MAX])


def _other_name(name: str, taken: Collection[str]) -> str:
    """One that is free: of so many different names as there are taken ones and one more, one always is."""
    others = (f"{name[:ID_KEPT_MAX]}.{number}" for number in range(1, len(taken) + 2))
    return next(other for other in others if other not in taken)


def _tuple_of(service: Service, entity: str) -> str:
    basic = element("status", element("basic", "open" if service.is_open else "closed"))
    contact = element("contact", words(f"sip:{entity}")) if service.is_open else ""
    note = element("note", words(service.note)) if service.note else ""
    return element("tuple", basic + contact + note, id_=service.id)


def _service(each: Element, number: int) -> Service:
    """A tuple without a basic status says nothing of calls (§4.1.4): it counts as closed."""
    name = each.get("id", "")
    basic = text_of(each.find(f"{_PIDF}status/{_PIDF}basic"))
    note = text_of(each.find(f"{_PIDF}note"))[:NOTE_CHARACTERS_MAX]
    return Service(name if _ID.fullmatch(name) else f"t{number}", basic == "open", note)


def _activities(owners: Sequence[Element]) -> tuple[str, ...]:
    found = [
        each.tag.removeprefix(_RPID)
        for owner in owners
        for activities in owner.iter(f"{_RPID}activities")
        for each in activities
    ]
    return tuple(dict.fromkeys(name for name in found if name in ACTIVITIES))[:ACTIVITIES_MAX]
