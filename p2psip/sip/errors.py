"""What is wrong with a SIP message, and the status that answers it (RFC 3261 §21)."""

from typing import TYPE_CHECKING

from p2psip.base.errors import RemoteError

if TYPE_CHECKING:
    from p2psip.sip.message import Request


class SipSyntaxError(RemoteError):
    """A message, header field or URI that breaks the grammar.

    `request` holds as much of the request as could be read, when that is enough to answer it; it is None for responses
    and for what is too broken to answer.
    """

    def __init__(self, words: str, *, status: int = 400, request: "Request | None" = None) -> None:
        super().__init__(words, status=status)
        self.request = request
