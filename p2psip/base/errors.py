"""The two kinds of protocol errors (the cut is h11's): ours and theirs.

Errors are raised deep and turned into an answer at one boundary per protocol. The status is in SIP's and HTTP's shared
number space (4xx, 5xx), so that each boundary can answer without a table.
"""


class P2psipError(Exception):
    """The root of every error that this project raises on purpose; its text is one sentence for a person."""


class LocalError(P2psipError):
    """We called something in a state that forbids it."""


class RemoteError(P2psipError):
    """The other side broke a rule, or said no. `status` is the code to answer with or the code that was received."""

    def __init__(self, words: str, *, status: int = 400) -> None:
        super().__init__(words)
        self.status = status
