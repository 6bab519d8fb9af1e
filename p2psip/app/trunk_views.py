"""What trunks look like to a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from p2psip.app.show import Printer, literal

_TITLES = ("trunk", "server", "state", "health", "calls", "last error")
_MEMBER_TITLES = ("trunk", "offered to", "calls", "minutes left today")


def show_trunks(printer: Printer, trunks: Sequence[Mapping[str, Any]]) -> None:
    """Each trunk of the running node: whether it works, what is going on, what went wrong last."""

    def for_a_person() -> None:
        if trunks:
            trunk_rows(printer, trunks)
        else:
            printer.text(literal("no trunks: [[trunk]] in p2psip.toml names a provider"))

    printer.answer(trunks, for_a_person)


def trunk_rows(printer: Printer, trunks: Sequence[Mapping[str, Any]]) -> None:
    """The table of `p2psip trunks` and `p2psip status`."""
    rows = [
        (
            each["name"],
            each["at"] or each["server"],
            each["state"] if each["expires_seconds"] is None else f"{each['state']}, {each['expires_seconds']} s",
            each["health"],
            f"{each['calls']} of {each['calls_max']}",
            each["last_error"] or "-",
        )
        for each in trunks
    ]
    printer.rows("Trunks", _TITLES, rows)
    members = [
        (each["name"], member["member"], member["calls"], member["minutes_left"])
        for each in trunks
        for member in each["offered_to"]
    ]
    if members:
        printer.rows("Offered to members", _MEMBER_TITLES, members)
