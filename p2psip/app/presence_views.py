"""Presence in words for a terminal. What others have written is shown as it is, never as markup."""

from collections.abc import Mapping
from typing import Any

from p2psip.app.show import Printer, literal


def show_presence(printer: Printer, seen: Mapping[str, Any]) -> None:
    """Whether somebody is there, and what they say of themselves."""

    def for_a_person() -> None:
        here = sum(device["open"] for device in seen["devices"])
        state = f"is there, on {here} phone(s)" if seen["open"] else "is not there"
        printer.text(f"{literal(seen['address'])} {state}")
        for words in (*seen["activities"], *seen["notes"]):
            printer.text(f"  {literal(words)}")

    printer.answer(seen, for_a_person)
