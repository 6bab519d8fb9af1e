"""The state of this node's own person: from phones that are registered, what they publish, calls and the mailbox."""

from collections.abc import Callable
from hashlib import blake2b

from p2psip.calls.addresses import Addresses
from p2psip.calls.bindings import BindingTable
from p2psip.calls.call_log import CallLog, CallRecord
from p2psip.calls.ports import ClockPort
from p2psip.presence import pidf
from p2psip.presence.dialog_info import DIALOGS_MAX, CallState, Dialogs, DialogState
from p2psip.presence.message_summary import Waiting
from p2psip.presence.message_summary import compose as add_up
from p2psip.presence.packages import DIALOG, MESSAGE_SUMMARY, PRESENCE, State
from p2psip.presence.pidf import ON_THE_PHONE, Presence, Service
from p2psip.presence.ports import Mailbox
from p2psip.presence.publications import Publications

_STATES: dict[str, DialogState] = {"calling": "trying", "ringing": "early", "talking": "confirmed"}


class Household:
    """What can be told of the person; `on_change` hooks are called when any of it may have changed."""

    def __init__(
        self,
        *,
        addresses: Addresses,
        bindings: BindingTable,
        log: CallLog,
        publications: Publications,
        mailbox: Mailbox,
        clock: ClockPort,
    ) -> None:
        self._addresses = addresses
        self._bindings = bindings
        self._log = log
        self._publications = publications
        self._mailbox = mailbox
        self._clock = clock

    def on_change(self, hook: Callable[[], None]) -> None:
        """Call `hook()` when anything may be different; publications are not watched here."""
        self._bindings.on_change(hook)
        self._log.on_change(lambda _record: hook())
        self._mailbox.on_change(hook)

    def state(self, package: str, *, with_calls: bool, with_names: bool) -> State:
        """What may be told of a package: `with_calls` that there are calls, `with_names` with whom."""
        if package == PRESENCE:
            return self._presence(with_calls)
        if package == DIALOG:
            dialogs = self._dialogs() if with_calls else Dialogs()
            return dialogs if with_names else dialogs.without_names()
        assert package == MESSAGE_SUMMARY
        return self._waiting()

    def _presence(self, with_calls: bool) -> Presence:
        """A registered phone takes calls, unless it publishes otherwise. What absent phones have published does not count."""
        now = self._clock.now()
        published = self._publications.of(PRESENCE, now)
        states = []
        for account in dict.fromkeys(each.account for each in self._bindings.of(self._addresses.own[0], now)):
            own = [each.state for each in published if each.account == account and isinstance(each.state, Presence)]
            states += own or [Presence((Service(_name(account), True),))]
        presence = pidf.compose(states)
        return presence.doing(ON_THE_PHONE) if with_calls and self._dialogs().is_busy else presence

    def _dialogs(self) -> Dialogs:
        calls = [call for record in self._log.current() for call in self._sides(record)]
        return Dialogs(tuple(calls[:DIALOGS_MAX]))

    def _sides(self, record: CallRecord) -> list[CallState]:
        """A call of one phone of the person to another is two dialogs."""
        state = _STATES.get(record.state)
        if state is None:
            return []
        name, sides = str(record.number), []
        if self._addresses.is_own(record.caller):
            sides.append(CallState(f"{name}a", state, "initiator", f"sip:{record.callee}"))
        if self._addresses.is_own(record.callee):
            sides.append(CallState(f"{name}b", state, "recipient", f"sip:{record.caller}"))
        return sides

    def _waiting(self) -> Waiting:
        published = [each.state for each in self._publications.of(MESSAGE_SUMMARY, self._clock.now())]
        counts = [state for state in published if isinstance(state, Waiting)]
        return add_up([self._mailbox.waiting(self._addresses.own[0]), *counts])


def _name(account: str) -> str:
    """A name for a phone that tells strangers nothing about its account."""
    return "p" + blake2b(account.encode(), digest_size=6).hexdigest()
