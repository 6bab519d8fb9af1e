"""Ringing several places at once: a branch and a task for each, one winner, and losers that are told so.

RFC 3261 §16.7 for the choice, §13.2.2.4 for a 2xx that comes too late: it is acknowledged and ended at once. RFC 3262 §4 for
reliable provisional responses. Behind one place there may be several phones, each with an early dialog of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure, best_failure, reason_header
from p2psip.calls.call_log import CallRecord
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import MediaEnd
from p2psip.calls.equipment import Equipment
from p2psip.calls.reliable import Receipt
from p2psip.calls.session_timer import SessionTimer
from p2psip.calls.sides import Side
from p2psip.calls.targets import Target
from p2psip.sip.credentials import Authorisation
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ClientExchange
from p2psip.sip.extensions import RAck
from p2psip.sip.headers import CSeq
from p2psip.sip.message import Request, Response

BRANCHES_MAX = 24
EVENTS_MAX = 256
SILENT_SECONDS_MAX = 8.0
EARLY_DIALOGS_MAX = 8
EARLY_DIALOG_TERMINATED = 199
"""RFC 6228: of one fork of many; it says nothing of the call, and is not for a caller who did not ask for it."""


@dataclass(frozen=True, slots=True)
class EarlyDialog:
    """One dialog of a branch, and which of its reliable responses were taken."""

    side: Side
    receipt: Receipt = field(default_factory=Receipt)


@dataclass(slots=True)
class Branch:
    """One place that rings. `early` is the audio that it described before the answer (in the dialog `early_tag`), `agreed`
    whether that was reliable.
    """

    target: Target
    end: MediaEnd
    contact: str
    exchange: ClientExchange
    timer: SessionTimer
    is_over: bool = False
    is_watched: bool = False
    early: Audio | None = None
    early_tag: str | None = None
    agreed: bool = False
    dialogs: dict[str, EarlyDialog] = field(default_factory=dict)
    failure: Failure | None = None
    refusal: Response | None = None
    decided: trio.Event = field(default_factory=trio.Event)  # it has answered, or failed for the reason `failure`

    @property
    def request(self) -> Request:
        """The INVITE as it was sent last."""
        return self.exchange.request

    def owns(self, side: Side) -> bool:
        """Whether `side` is one of its early dialogs."""
        return any(dialog.side is side for dialog in self.dialogs.values())


@dataclass(frozen=True, slots=True)
class Progress:
    """Something happened; `branch` and `response` are set for a provisional response, and for the 2xx that won.

    `rack` is set for a reliable one whose description is an offer: its PRACK is left to the call.
    """

    branch: Branch | None = None
    response: Response | None = None
    rack: RAck | None = None


class Forking:
    """All branches of one call. Feed it with `ring`; read `events` and look at the state after each.

    `on_dialog` is told of each early dialog.
    """

    def __init__(
        self, equipment: Equipment, nursery: trio.Nursery, record: CallRecord, on_dialog: Callable[[Side], None]
    ) -> None:
        self._equipment = equipment
        self._sip = equipment.sip
        self._nursery = nursery
        self._record = record
        self._on_dialog = on_dialog
        self.on_redirect: Callable[[Branch, Response], Failure | None] = _follow_nothing
        self._send, self.events = trio.open_memory_channel[Progress](EVENTS_MAX)
        self._settled = trio.Event()
        self._winning_tag: str | None = None
        self.branches: list[Branch] = []
        self.failures: list[Failure] = []
        self.winner: Branch | None = None
        self.is_closed = False
        self.is_searched = False
        self.pending = 0  # redirections that are being followed

    @property
    def is_hopeless(self) -> bool:
        """Whether every place has failed and no more will be found."""
        is_done = self.is_searched and not self.pending
        return is_done and self.winner is None and all(branch.is_over for branch in self.branches)

    def ring(self, target: Target, request: Request, end: MediaEnd, contact: str, timer: SessionTimer) -> Branch | None:
        """Send an INVITE; above BRANCHES_MAX, or once closed, nothing happens but that `end` is closed."""
        if self.is_closed or self.winner is not None or len(self.branches) >= BRANCHES_MAX:
            end.close()
            return None
        self._step("this node", target.name, f"INVITE {request.uri}")
        branch = Branch(target, end, contact, self._sip.start(request, target.flow), timer)
        self.branches.append(branch)
        self._nursery.start_soon(self._follow, branch)
        return branch

    def watch(self, branch: Branch) -> None:
        """The media path of a ringing branch is being set up: give the branch up when the path is lost."""
        if branch.end.can_be_lost and not branch.is_watched:
            branch.is_watched = True
            self._nursery.start_soon(self._watch, branch)

    def searched(self, failure: Failure | None = None) -> None:
        """No more places will come; `failure` says why there are fewer than there could be."""
        self.is_searched = True
        if failure is not None:
            self.failures.append(failure)
        self.nudge()

    def nudge(self) -> None:
        """Wake whoever reads `events`."""
        self._emit(Progress())

    def best_failure(self) -> Failure:
        """What the caller is told when nobody answers."""
        return best_failure(self.failures)

    def close(self, status: int, words: str, reason: str | None = None) -> None:
        """Ring no more: CANCEL what rings, with a Reason (RFC 3326): `reason` as it came, or one of our own."""
        self.is_closed = True
        for branch in self.branches:
            if not branch.is_over and branch is not self.winner:
                header = ("Reason", reason) if reason else reason_header(status, words)
                branch.exchange.request.headers.set(*header)
                branch.exchange.cancel()
                self._step("this node", branch.target.name, "CANCEL")
        self._note_settled()

    async def wait_settled(self) -> None:
        """Return when every branch has had its final response."""
        await self._settled.wait()

    def side_of(self, branch: Branch, response: Response) -> Side:
        """The side of the dialog that a response belongs to, made when it is the first of it."""
        tag = response.to.tag or ""
        found = branch.dialogs.get(tag)
        if found is None:
            dialog = Dialog.of_client(branch.request, response, branch.contact)
            found = branch.dialogs[tag] = EarlyDialog(
                Side(
                    self._equipment,
                    self._record,
                    name=branch.target.name,
                    flow=branch.target.flow,
                    end=branch.end,
                    dialog=dialog,
                    owns_call_id=True,
                    timer=branch.timer,
                )
            )
        found.side.learn(response)
        return found.side

    def close_dialogs(self, *, but: Side | None = None) -> None:
        """Forget all dialogs except that of `but`."""
        for branch in self.branches:
            for each in branch.dialogs.values():
                if each.side is not but:
                    each.side.close()

    def leave(self) -> None:
        """All is over: follow no redirection, and forget all dialogs."""
        self.on_redirect = _follow_nothing
        self.close_dialogs()

    def dismiss(self, branch: Branch, response: Response, status: int, words: str) -> None:
        """ACK and BYE for a 2xx that nobody wants (any more)."""
        dialog = self.side_of(branch, response).dialog
        dialog.confirm(response)
        branch.exchange.acknowledge(response, dialog.acknowledge(branch.request.cseq.number))
        bye = dialog.request("BYE", headers=[reason_header(status, words)])
        self._sip.start(bye, branch.target.flow).close()
        self._step("this node", branch.target.name, "ACK, BYE")

    async def _follow(self, branch: Branch) -> None:
        try:
            line = branch.target.line
            with trio.move_on_after(SILENT_SECONDS_MAX if line is None else line.silent_seconds) as silence:
                response = await branch.exchange.next_response()
            if silence.cancelled_caught:
                branch.exchange.cancel()
                self._lose(branch, Failure(408, f"{branch.target.name} does not answer"))
                response = await branch.exchange.next_response()
            while not self._take(branch, response):
                response = await branch.exchange.next_response()
        except RemoteError as error:
            self._lose(branch, Failure.of_error(error))

    async def _watch(self, branch: Branch) -> None:
        reason = await branch.end.wait_lost()
        if not branch.is_over:
            branch.exchange.cancel()
            self._lose(branch, Failure(503, f"the media path to {branch.target.name} is lost: {reason}"))

    def _take(self, branch: Branch, response: Response) -> bool:
        """Serve one response; whether it was the last."""
        self._step(branch.target.name, "this node", f"{response.status} {response.reason}")
        if response.status < 200:
            self._take_provisional(branch, response)
        elif response.status == 422 and not self.is_closed and branch.timer.raise_interval(response):
            self._ask_again(branch)
        elif response.status == 488 and (other := self._other_offer(branch)) is not None:
            self._ask_again(branch, other)
        elif response.status >= 300:
            branch.refusal = response
            redirected = self.on_redirect(branch, response) if response.status < 400 and not branch.is_over else None
            self._lose(branch, redirected or _failure(branch, response))
            return True
        elif self.winner is None and not self.is_closed and not branch.is_over:
            self.winner, self._winning_tag = branch, response.to.tag
            branch.decided.set()
            branch.is_over = True
            self._confirm(branch, response)
            self.close(200, "Call completed elsewhere")
            self._emit(Progress(branch, response))
        elif branch is not self.winner or response.to.tag != self._winning_tag:
            if (response.to.tag or "") not in branch.dialogs and len(branch.dialogs) >= EARLY_DIALOGS_MAX:
                branch.is_over = True
                self._note_settled()
                return False  # more forks than there may be: each would cost a dialog and a BYE
            self.dismiss(branch, response, 487, "the call was over already")
            branch.is_over = True
            self._note_settled()
        return False

    def _take_provisional(self, branch: Branch, response: Response) -> None:
        """Acknowledge what is reliable, drop what was taken before, and tell the call of the rest."""
        rack: RAck | None = None
        if response.status == EARLY_DIALOG_TERMINATED:
            return
        if response.status > 100 and response.to.tag is not None and not branch.is_over:
            if response.to.tag not in branch.dialogs:
                if len(branch.dialogs) >= EARLY_DIALOGS_MAX:
                    return
                self._on_dialog(self.side_of(branch, response))
            side = self.side_of(branch, response)
            try:
                rack = branch.dialogs[response.to.tag].receipt.admit(response)
            except RemoteError:
                return
            if rack is not None and (branch.request.body or not response.body):
                acknowledge(side, rack)
                branch.agreed = branch.agreed or bool(response.body)
                rack = None
        used = self.events.statistics().current_buffer_used
        if not branch.is_over and used < EVENTS_MAX - 3 * BRANCHES_MAX:
            self._emit(Progress(branch, response, rack))

    def _other_offer(self, branch: Branch) -> bytes | None:
        """Another description, for a phone that takes no calls without SRTP, or only by DTLS."""
        is_open = not self.is_closed and not branch.is_over
        return branch.end.write_otherwise() if is_open and branch.request.body else None

    def _confirm(self, branch: Branch, response: Response) -> None:
        """The winner's dialog stands: who hangs up at once must be heard."""
        is_new = (response.to.tag or "") not in branch.dialogs
        side = self.side_of(branch, response)
        side.dialog.confirm(response)
        side.establish(response)
        if is_new:
            self._on_dialog(side)

    def _ask_again(self, branch: Branch, body: bytes | None = None) -> None:
        """The INVITE with a longer session interval (RFC 4028 §7.3), or with another description."""
        request = branch.request.copy()
        request.body = request.body if body is None else body
        for name in ("Via", "Session-Expires", "Min-SE", "Authorization", "Proxy-Authorization"):
            request.headers.remove(name)
        for name, value in branch.timer.asking():
            request.headers.add(name, value)
        request.headers.set("CSeq", str(CSeq(request.cseq.number + 1, "INVITE")))
        self._step("this node", branch.target.name, f"INVITE {request.uri}")
        branch.exchange = self._sip.start(request, branch.target.flow)

    def _lose(self, branch: Branch, failure: Failure) -> None:
        if not branch.is_over:
            branch.is_over = True
            branch.failure = failure
            branch.decided.set()
            branch.end.close()
            self.failures.append(failure)
            if failure.status >= 600 and not self.is_closed:
                self.close(failure.status, "declined everywhere")
                self.is_searched = True
        self._note_settled()
        self.nudge()

    def _note_settled(self) -> None:
        if self.is_closed and all(branch.is_over for branch in self.branches):
            self._settled.set()

    def _emit(self, progress: Progress) -> None:
        if self.events.statistics().current_buffer_used < EVENTS_MAX:
            self._send.send_nowait(progress)

    def _step(self, source: str, target: str, summary: str) -> None:
        self._record.step(self._equipment.clock.unix(), source, target, summary)


def acknowledge(side: Side, rack: RAck, body: bytes = b"") -> None:
    """PRACK, with the answer to an offer."""
    content_type = "application/sdp" if body else None
    side.send("PRACK", headers=[("RAck", str(rack))], body=body, content_type=content_type).close()


def _follow_nothing(_branch: Branch, _response: Response) -> Failure | None:
    return None


def _failure(branch: Branch, response: Response) -> Failure:
    """The words of a provider are its own. Challenges and redirections are meant for us, and not for the caller."""
    line = branch.target.line
    if line is None:
        return Failure.of_response(response)
    if response.status in (401, 407):
        authorise = branch.request.authorise
        why = authorise.failure if isinstance(authorise, Authorisation) else "it asks for a password, and none is set"
        return Failure(503, f"{line.name}: {why}")
    if response.status < 400:
        return Failure(503, f"{line.name} redirects the call to where it may not go")
    return Failure(response.status, f"{line.name} says {response.status} {response.warning or response.reason}")
