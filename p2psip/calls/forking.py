"""Ringing several places at once: a branch and a task for each, one winner, and losers that are told so.

RFC 3261 §16.7 for the choice, §13.2.2.4 for a 2xx that comes too late: it is acknowledged and ended at once.
"""

from dataclasses import dataclass

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure, best_failure, reason_header
from p2psip.calls.call_log import CallRecord
from p2psip.calls.ends import MediaEnd
from p2psip.calls.ports import ClockPort, SipPort
from p2psip.calls.targets import Target
from p2psip.sip.dialog import Dialog
from p2psip.sip.exchange import ClientExchange
from p2psip.sip.message import Request, Response

BRANCHES_MAX = 24
EVENTS_MAX = 256
SILENT_SECONDS_MAX = 8.0


@dataclass(slots=True)
class Branch:
    """One place that rings."""

    target: Target
    request: Request
    end: MediaEnd
    contact: str
    exchange: ClientExchange
    is_over: bool = False
    is_watched: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Something happened; `branch` and `response` are set for a provisional response, and for the 2xx that won."""

    branch: Branch | None = None
    response: Response | None = None


class Forking:
    """All branches of one call. Feed it with `ring`; read `events` and look at the state after each."""

    def __init__(self, sip: SipPort, nursery: trio.Nursery, clock: ClockPort, record: CallRecord) -> None:
        self._sip = sip
        self._nursery = nursery
        self._clock = clock
        self._record = record
        self._send, self.events = trio.open_memory_channel[Progress](EVENTS_MAX)
        self._settled = trio.Event()
        self.branches: list[Branch] = []
        self.failures: list[Failure] = []
        self.winner: Branch | None = None
        self.is_closed = False
        self.is_searched = False

    @property
    def is_hopeless(self) -> bool:
        """Whether every place has failed and no more will be found."""
        return self.is_searched and self.winner is None and all(branch.is_over for branch in self.branches)

    def ring(self, target: Target, request: Request, end: MediaEnd, contact: str) -> None:
        """Send an INVITE; above BRANCHES_MAX, or once closed, nothing happens but that `end` is closed."""
        if self.is_closed or self.winner is not None or len(self.branches) >= BRANCHES_MAX:
            end.close()
            return
        self._step("this node", target.name, f"INVITE {request.uri}")
        branch = Branch(target, request, end, contact, self._sip.start(request, target.flow))
        self.branches.append(branch)
        self._nursery.start_soon(self._follow, branch)

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

    def close(self, status: int, words: str) -> None:
        """Ring no more: CANCEL what rings, with a Reason (RFC 3326)."""
        self.is_closed = True
        for branch in self.branches:
            if not branch.is_over and branch is not self.winner:
                branch.exchange.request.headers.set(*reason_header(status, words))
                branch.exchange.cancel()
                self._step("this node", branch.target.name, "CANCEL")
        self._note_settled()

    async def wait_settled(self) -> None:
        """Return when every branch has had its final response."""
        await self._settled.wait()

    def dismiss(self, branch: Branch, response: Response, status: int, words: str) -> None:
        """ACK and BYE for a 2xx that nobody wants (any more)."""
        dialog = Dialog.of_client(branch.request, response, branch.contact)
        branch.exchange.acknowledge(response, dialog.acknowledge(branch.request.cseq.number))
        bye = dialog.request("BYE", headers=[reason_header(status, words)])
        self._sip.start(bye, branch.target.flow).close()
        self._step("this node", branch.target.name, "ACK, BYE")

    async def _follow(self, branch: Branch) -> None:
        try:
            with trio.move_on_after(SILENT_SECONDS_MAX) as silence:
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
            used = self.events.statistics().current_buffer_used
            if not branch.is_over and used < EVENTS_MAX - 3 * BRANCHES_MAX:
                self._emit(Progress(branch, response))
        elif response.status >= 300:
            self._lose(branch, Failure.of_response(response))
            return True
        elif self.winner is None and not self.is_closed and not branch.is_over:
            self.winner = branch
            branch.is_over = True
            self.close(200, "Call completed elsewhere")
            self._emit(Progress(branch, response))
        else:
            self.dismiss(branch, response, 487, "the call was over already")
            branch.is_over = True
            self._note_settled()
        return False

    def _lose(self, branch: Branch, failure: Failure) -> None:
        if not branch.is_over:
            branch.is_over = True
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
        self._record.step(self._clock.unix(), source, target, summary)
