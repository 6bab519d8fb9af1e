"""Asking nodes who they are, and what the overlay's newest configuration is."""

from collections.abc import Callable
from typing import Any

from overlay.contact import Contact
from overlay.events import ConfigurationChanged, Output, RequestDone
from overlay.heard import HeardAddresses
from overlay.rpc import CONFIGURATION, OK, PING, UNAUTHORIZED, Answer
from p2psip.base.core import Address

CHECKED_AT_ONCE_MAX = 4_096
ASK_WHO_BYTES = 500


class Acquaintance:
    """One question at a time for each address of a node; whoever answers and belongs is taken in with its answer.

    `time()` is that of the input that is served, `may_cause()` how many bytes the datagram at hand may still cause,
    `update(configuration)` takes a newer configuration.
    """

    __slots__ = ("_ask", "_asked", "_emit", "_heard", "_may_cause", "_time", "_update")

    def __init__(
        self,
        heard: HeardAddresses,
        *,
        ask: Callable[..., None],
        time: Callable[[], float],
        may_cause: Callable[[], int],
        update: Callable[[bytes], bool],
        emit: Callable[[Output], None],
    ) -> None:
        self._heard = heard
        self._ask = ask
        self._time = time
        self._may_cause = may_cause
        self._update = update
        self._emit = emit
        self._asked: set[tuple[bytes, Address]] = set()

    def __len__(self) -> int:
        """How many are being asked (at most CHECKED_AT_ONCE_MAX)."""
        return len(self._asked)

    def greet(self, contact: Contact, now: float, *, once: bool = False) -> None:
        """Ping a node that we do not know yet."""
        asked = contact.node_key, contact.address
        if asked in self._asked or len(self._asked) >= CHECKED_AT_ONCE_MAX:
            return
        self._asked.add(asked)

        def done(_contact: Contact, _answer: Answer | None) -> None:
            self._asked.discard(asked)

        self._ask(contact, PING, [], done, now, once=once)

    def ask_who(self, node_key: bytes, now: float) -> None:
        """Ask a stranger, within what its datagram may cause: its address may be a bystander's. It asks again by sending again."""
        address = self._heard.get(node_key)
        if address is not None and self._may_cause() >= ASK_WHO_BYTES:
            self.greet(Contact(node_key, address), now, once=True)

    def request(self, number: int, contact: Contact, method: int, arguments: list[Any], now: float) -> None:
        """Ask something; `RequestDone` brings the answer. Asked again with the token that a first refusal brings."""

        def done(_contact: Contact, answer: Answer | None) -> None:
            self._emit(RequestDone(number, answer))

        def first(contact: Contact, answer: Answer | None) -> None:
            if answer is not None and answer.status == UNAUTHORIZED:
                self._ask(contact, method, arguments, done, self._time())
            else:
                done(contact, answer)

        self._ask(contact, method, arguments, first, now)

    def ask_configuration(self, contact: Contact, now: float) -> None:
        """A member has a newer configuration than ours."""
        self._ask(contact, CONFIGURATION, [], self._take_configuration, now)

    def _take_configuration(self, _contact: Contact, answer: Answer | None) -> None:
        if answer is None or answer.status != OK or not isinstance(answer.result, bytes):
            return
        if self._update(answer.result):
            self._emit(ConfigurationChanged(answer.result))
