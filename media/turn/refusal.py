"""What a TURN server says no with (RFC 8489 §14.8, RFC 8656 §19)."""

from p2psip.base.errors import RemoteError

REASONS = {
    300: "Try Alternate",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    508: "Insufficient Capacity",
}


class Refusal(RemoteError):
    """A request that is answered by the error `status`; `body` has the attributes that explain it, beside ERROR-CODE."""

    def __init__(self, status: int, words: str, body: bytes = b"") -> None:
        super().__init__(words, status=status)
        self.body = body
