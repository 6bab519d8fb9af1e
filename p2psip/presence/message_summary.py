"""How many voice messages wait: the documents of the `message-summary` package (RFC 3842 §5.2).

A missed call is no message: what is counted comes from a mailbox, or from who publishes for one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from p2psip.base.errors import RemoteError

SUMMARY_TYPE = "application/simple-message-summary"
SUMMARY_BYTES_MAX = 4_096
COUNT_MAX = 99_999

_VOICE = re.compile(r"\s*([0-9]{1,10})\s*/\s*([0-9]{1,10})\s*(?:\(\s*([0-9]{1,10})\s*/\s*([0-9]{1,10})\s*\))?\s*")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts of voice messages; the urgent ones are among the others."""

    new: int = 0
    old: int = 0
    urgent_new: int = 0
    urgent_old: int = 0

    def write(self, entity: str, version: int = 0, before: object = None) -> bytes:
        """The document for the mailbox of `sip:entity`."""
        counts = f"{self.new}/{self.old} ({self.urgent_new}/{self.urgent_old})"
        lines = ("yes" if self.new else "no", f"Message-Account: sip:{entity}", f"Voice-Message: {counts}")
        return ("Messages-Waiting: " + "\r\n".join(lines) + "\r\n").encode()


def parse_summary(data: bytes) -> Waiting:
    """The counts of a document; RemoteError(400) when it is none, 413 when too long. Without counts, `yes` is one message."""
    if len(data) > SUMMARY_BYTES_MAX:
        raise RemoteError(f"a message summary of more than {SUMMARY_BYTES_MAX} bytes", status=413)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RemoteError("a message summary that is no UTF-8") from error
    fields = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    status = fields.get("messages-waiting", "").lower()
    if status not in ("yes", "no"):
        raise RemoteError("a message summary without Messages-Waiting: yes or no")
    if "voice-message" not in fields:
        return Waiting(new=int(status == "yes"))
    match = _VOICE.fullmatch(fields["voice-message"])
    if match is None:
        raise RemoteError("a message summary with counts that cannot be read")
    return Waiting(*(min(int(each or 0), COUNT_MAX) for each in match.groups()))


def compose(states: Sequence[Waiting]) -> Waiting:
    """All mailboxes of a person together."""
    totals = (sum(getattr(state, name) for state in states) for name in ("new", "old", "urgent_new", "urgent_old"))
    return Waiting(*(min(total, COUNT_MAX) for total in totals))
