"""The Replaces header field: which call a new one takes the place of (RFC 3891), and the calls of this node that it can mean.

A dialog is named as the phone sees it: this node is the other end of every call of its phones, so the dialog between it and
the phone is meant, and never one that a node elsewhere has.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from p2psip.calls.call import Call
from p2psip.calls.sides import Side
from p2psip.sip.dialog import DialogId
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.grammar import get_parameter, parse_parameters
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri, unescape

REPLACES_CHARACTERS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog to replace: `to_tag` is the tag of whoever receives this, `from_tag` that of their peer."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> "Replaces":
        """The value in `text` (RFC 3891 §6.1); SipSyntaxError when a part is missing or stands twice."""
        if len(text) > REPLACES_CHARACTERS_MAX:
            raise SipSyntaxError("a Replaces that is too long")
        call_id, _, rest = text.strip().partition(";")
        parameters = parse_parameters(";" + rest) if rest else ()
        names = [name for name, _value in parameters]
        to_tag, from_tag = get_parameter(parameters, "to-tag"), get_parameter(parameters, "from-tag")
        if not call_id.strip() or any(letter.isspace() or letter == "," for letter in call_id.strip()):
            raise SipSyntaxError("a Replaces without a Call-ID that can be read")
        if not to_tag or not from_tag or names.count("to-tag") != 1 or names.count("from-tag") != 1:
            raise SipSyntaxError("a Replaces needs one to-tag and one from-tag")
        return cls(call_id.strip(), to_tag, from_tag, "early-only" in names)

    @classmethod
    def of_request(cls, request: Request) -> "Replaces | None":
        """The Replaces of an INVITE; SipSyntaxError for several (§3), or in another request."""
        values = request.headers.all("Replaces")
        if not values:
            return None
        if len(values) > 1 or request.method != "INVITE":
            raise SipSyntaxError("one Replaces, and in an INVITE only")
        return cls.parse(values[0])

    @classmethod
    def of_uri(cls, uri: SipUri) -> "Replaces | None":
        """The Replaces that a Refer-To asks for (RFC 5589 §7)."""
        values = [value for name, value in uri.headers if unescape(name).lower() == "replaces"]
        if len(values) > 1:
            raise SipSyntaxError("one Replaces only")
        return cls.parse(unescape(values[0])) if values else None

    @property
    def dialog_id(self) -> DialogId:
        """The dialog as its recipient, which is this node, has it."""
        return (self.call_id, self.to_tag, self.from_tag)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A call of this node and the side of it that somebody named. `side` is None while the call rings."""

    call: Call
    side: Side | None


def find_standing(calls: Iterable[Call], dialog_id: DialogId) -> Standing | None:
    """The call that has this dialog with a phone (or another node), in talk or still ringing for its caller."""
    for call in calls:
        talk = call.talk
        if talk is None:
            if call.dialog_id == dialog_id:
                return Standing(call, None)
        elif talk.ending is None:
            for side in (talk.caller, talk.callee):
                if side is not None and side.dialog.id == dialog_id:
                    return Standing(call, side)
    return None
