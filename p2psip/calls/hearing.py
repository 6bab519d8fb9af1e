"""What the caller hears before the answer: ringing, or the early media of one place (RFC 3960 §3, the gateway model).

Of several places that send early media the caller hears the first one; when that one is lost, the next. What is described before
the answer is passed on as it came: reliably to a caller who knows RFC 3262, and else again with the answer.
"""

from collections.abc import Callable

from p2psip.base.errors import RemoteError
from p2psip.calls.answers import Failure
from p2psip.calls.caller import CallerLeg
from p2psip.calls.changes import fitting
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import MediaEnd
from p2psip.calls.forking import Branch, Forking, Progress, acknowledge
from p2psip.calls.pressing import with_events
from p2psip.calls.sides import SDP, Side
from p2psip.sip.extensions import RAck
from p2psip.sip.flow import OVERLAY
from p2psip.sip.message import Response


class Hearing:
    """`branch` is the place that is heard, `told` what the caller knows of its audio. `offer` is that of the INVITE, if any.

    `join` bridges the caller with a branch; `stop` ends the call. Fulfils `p2psip.calls.early.Ringing`.
    """

    def __init__(
        self,
        leg: CallerLeg,
        end: MediaEnd,
        forking: Forking,
        offer: Audio | None,
        join: Callable[[Branch], None],
        stop: Callable[[Failure], None],
    ) -> None:
        self._leg = leg
        self._end = end
        self._forking = forking
        self._offer = offer
        self._join = join
        self._stop = stop
        self._question: tuple[Branch, Side, RAck, Audio] | None = None
        self.branch: Branch | None = None
        self.told: Audio | None = None

    def take(self, event: Progress) -> None:
        """Something happened to a branch: pass on what the caller should know of it."""
        branch, response = event.branch, event.response
        if branch is None or response is None:
            self._replace_the_lost()
        elif event.rack is not None:
            self._pass_question(branch, response, event.rack)
        elif response.status > 100:
            self._pass(branch, response)

    # What early dialogs ask (early.Ringing)

    def partner(self, side: Side) -> Side | None:
        """See Ringing."""
        if side.owns_call_id:
            heard = self.branch
            return self._leg.side if heard is None or heard.owns(side) else None
        candidates = [self.branch] if self.branch is not None else self._forking.branches
        sides = [each.side for branch in candidates if not branch.is_over for each in branch.dialogs.values()]
        return sides[0] if len(sides) == 1 else None

    def can_change(self, side: Side) -> bool:
        """See Ringing."""
        if not side.owns_call_id:
            return self._leg.provisionals.answered
        return any(branch.agreed and branch.owns(side) for branch in self._forking.branches)

    def take_early_answer(self, body: bytes) -> None:
        """See Ringing."""
        if self._question is None:
            raise RemoteError("nobody has asked for this answer", status=400)
        branch, side, rack, offer = self._question
        self._question = None
        answer = fitting(self._end.take(body, is_offer=False), offer)
        acknowledge(side, rack, branch.end.write(answer, is_offer=False))
        branch.early, branch.agreed = offer, True
        self._join(branch)

    def stop(self, failure: Failure) -> None:
        """See Ringing."""
        self._stop(failure)

    # Passing on

    def _pass(self, branch: Branch, response: Response) -> None:
        audio = self._described(branch, response)
        if audio is not None and audio.direction == "inactive" and branch.target.flow.transport == OVERLAY:
            return  # the transport only: nothing rings yet
        if audio is not None and self._may_hear(branch, audio):
            self._hear(branch, audio, response.status, response.reason)
        else:
            self._leg.progress(180 if response.status == 183 else response.status, response.reason)

    def _described(self, branch: Branch, response: Response) -> Audio | None:
        """The audio in a provisional response. One that cannot be used ends no call; one that was agreed on stands."""
        if self._offer is None or not response.body or response.content_type != SDP:
            return None
        if branch.early_tag not in (None, response.to.tag):
            return None
        if branch.early is not None and branch.agreed:
            return branch.early
        try:
            branch.early = branch.end.take(response.body, is_offer=False)
        except RemoteError:
            return None
        branch.early_tag = response.to.tag
        self._forking.watch(branch)
        return branch.early

    def _may_hear(self, branch: Branch, audio: Audio) -> bool:
        is_taken = self.branch is not None and self.branch is not branch and not self.branch.is_over
        return (
            not is_taken and audio.direction != "inactive" and (self._offer is None or audio.shares_codec(self._offer))
        )

    def _hear(self, branch: Branch, audio: Audio, status: int, reason: str) -> None:
        self.branch = branch
        self._join(branch)
        if self._leg.provisionals.described:  # the caller's offer has its one answer
            self._leg.progress(status, reason)
            return
        dialog = branch.dialogs.get(branch.early_tag or "")
        self.told = audio if dialog is None or self._offer is None else with_events(audio, self._offer, dialog.side)
        self._leg.progress(status, reason, self._end.write(self.told, is_offer=False))

    def _replace_the_lost(self) -> None:
        if self.branch is None or not self.branch.is_over or self.branch is self._forking.winner:
            return
        for branch in self._forking.branches:
            if not branch.is_over and branch.early is not None and self._may_hear(branch, branch.early):
                self._hear(branch, branch.early, 183, "Session Progress")
                return

    def _pass_question(self, branch: Branch, response: Response, rack: RAck) -> None:
        """An offer of who rings, to a caller who made none: it goes on in a reliable response, whose PRACK has the answer."""
        if self._question is not None or branch.agreed:
            return
        try:
            audio = branch.end.take(response.body, is_offer=True)
        except RemoteError as error:
            self._stop(Failure.of_error(error))
            return
        branch.early_tag, self.branch = response.to.tag, branch
        self._question = branch, self._forking.side_of(branch, response), rack, audio
        self._leg.progress(response.status, response.reason, self._end.write(audio, is_offer=True))
