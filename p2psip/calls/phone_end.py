"""The media end of a leg towards a phone (or a provider's trunk): RTP, or SRTP with keys in the description (RFC 4568).

What a phone offers decides: an offer of SRTP is answered with SRTP, also one that leaves the choice (RTP/AVP with a=crypto).
What we offer to a phone is a setting, `[sip] srtp`. "off": RTP. "offered": RTP/AVP with a=crypto, which phones that know no SRTP
pass over, to those that have registered over TLS. "required": RTP/SAVP, and nothing else is taken; keys only where no other
machine reads the signalling (TLS, or a phone on this machine).
"""

from dataclasses import dataclass
from typing import Any, Literal

import trio

from media.sdes import SdesNegotiation
from media.srtp import SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import (
    PHONE_PROFILES,
    SECURE_PROFILES,
    Audio,
    Layout,
    Origin,
    phone_addresses,
    phone_line,
    read_audio,
    write_description,
)
from p2psip.calls.ends import Agreement, EndKind
from p2psip.calls.ports import MediaPort
from p2psip.sip.flow import Flow
from p2psip.sip.sdp import MediaDescription

NOT_SECURE = "this node takes calls with SRTP only: switch it on in the phone"
KEYS_IN_THE_CLEAR = "SRTP keys would cross the network in the clear: let the phone register over TLS"

_ENCRYPTED_TRANSPORTS = ("tls", "wss")


@dataclass(frozen=True, slots=True)
class SrtpPolicy:
    """What is said to one phone. `offer`: the kind of our offers; `is_required`: refuse plain RTP;
    `is_private`: no other machine reads the signalling.
    """

    offer: Literal["plain", "best effort", "secure"] = "plain"
    is_required: bool = False
    is_private: bool = True

    @classmethod
    def towards(cls, flow: Flow, setting: Literal["off", "offered", "required"]) -> "SrtpPolicy":
        """What the setting means for the phone at the other end of `flow`."""
        is_encrypted = flow.transport in _ENCRYPTED_TRANSPORTS
        if setting == "required":
            return cls("secure", True, is_encrypted or _is_loopback(flow.remote[0]))
        return cls("best effort" if setting == "offered" and is_encrypted else "plain")


AS_OFFERED = SrtpPolicy()
"""RTP in our offers, and whatever can be carried of the phone's."""


class PhoneEnd(Agreement):
    """RTP or SRTP towards a phone at `signalling_host`; its silence is no fault.

    Our sockets are on `host` (None: the media plane's choice); descriptions name `announced` in its place, if that is given.
    """

    kind: EndKind = "phone"
    can_be_lost = False

    def __init__(
        self,
        media: MediaPort,
        chance: Chance,
        *,
        signalling_host: str,
        host: str | None,
        policy: SrtpPolicy = AS_OFFERED,
        announced: str | None = None,
    ) -> None:
        super().__init__()
        self.leg = media.phone_leg(host)
        self._signalling_host = signalling_host
        self._layout = Layout()
        self._origin = Origin.make(chance, announced or self.leg.local[0])
        self._policy = policy
        self._sdes = SdesNegotiation(chance)
        self._is_secure: bool | None = None  # as agreed on last
        self._offers_keys = False  # the peer's offer that is not answered yet
        self._offered_keys = False
        self._protocol = self._offered_protocol = ""
        self._announced: tuple[Address, Address | None] | None = None

    @property
    def is_secure(self) -> bool:
        """Whether SRTP is agreed on."""
        return bool(self._is_secure)

    def take(self, body: bytes, *, is_offer: bool) -> Audio:
        """See MediaEnd."""
        audio, description, media = read_audio(body, PHONE_PROFILES, self._layout)
        if is_offer:
            self._take_offer(media)
        else:
            self._take_answer(media)
        self._announced = phone_addresses(description, media)
        if not is_offer:
            self._aim()
        self.note_taken(audio, is_offer=is_offer)
        return audio

    def write(self, audio: Audio, *, is_offer: bool) -> bytes:
        """See MediaEnd."""
        line = self._offer_line() if is_offer else self._answer_line()
        if not is_offer:
            self._aim()
        self.note_written(audio, is_offer=is_offer)
        return write_description(audio, self._origin, self._layout, line)

    async def wait_lost(self) -> str:
        """Never returns."""
        await trio.sleep_forever()
        raise AssertionError("never reached")

    def own_answer(self, audio: Audio) -> Audio | None:
        """See MediaEnd: a phone has no transport that could change alone."""
        return None

    def path(self) -> dict[str, Any]:
        """See MediaEnd."""
        return {**self.leg.path(), "protection": self._protection()}

    def close(self) -> None:
        """See MediaEnd."""
        self.leg.close()

    def _aim(self) -> None:
        """Send to where the phone says that it is: once that is agreed on, so that a change that is refused changes nothing."""
        if self._announced is not None:
            self.leg.set_remote(self._announced[0], self._signalling_host, rtcp=self._announced[1])

    def _take_offer(self, media: MediaDescription) -> None:
        lines = media.all("crypto")
        self._offered_protocol = media.protocol
        is_secure = media.protocol in SECURE_PROFILES
        self._check_may_be_secure(bool(lines))
        try:
            self._sdes.take_offer(lines)
            self._offers_keys = True
        except RemoteError:
            if is_secure or self._policy.is_required:
                raise
            self._offers_keys = False
        if self._offers_keys and self._is_secure is None:
            self.leg.set_keys(SrtpKeys())  # nothing leaves in the clear while the answer is not written

    def _take_answer(self, media: MediaDescription) -> None:
        lines = media.all("crypto")
        if not self._offered_keys and media.protocol not in SECURE_PROFILES:
            lines = []  # some phones name keys in the answer to an offer without any, and then do not use them
        self._check_may_be_secure(bool(lines))
        if lines:
            self._sdes.take_answer(lines)
        elif media.protocol in SECURE_PROFILES or self._is_secure:
            raise RemoteError("an answer without SRTP keys to an offer of SRTP", status=488)
        self._settle(bool(lines), media.protocol)

    def _check_may_be_secure(self, has_keys: bool) -> None:
        if not self._policy.is_required:
            return
        if not has_keys:
            raise RemoteError(NOT_SECURE, status=488)
        if not self._policy.is_private:
            raise RemoteError(KEYS_IN_THE_CLEAR, status=488)

    def _offer_line(self) -> MediaDescription:
        kind = self._policy.offer
        if self._is_secure is not None:
            kind = "secure" if self._protocol in SECURE_PROFILES else "best effort" if self._is_secure else "plain"
        if kind != "plain" and not self._policy.is_private and self._policy.is_required:
            raise RemoteError(KEYS_IN_THE_CLEAR, status=488)
        crypto = [] if kind == "plain" else [each.to_sdp() for each in self._sdes.offer()]
        self._offered_keys = bool(crypto)
        protocol = self._protocol or ("RTP/SAVP" if kind == "secure" else "RTP/AVP")
        if kind == "secure" and self._is_secure is None:
            self.leg.set_keys(SrtpKeys())
        return phone_line(self.leg.local, protocol, crypto)

    def _answer_line(self) -> MediaDescription:
        crypto = [self._sdes.answer().to_sdp()] if self._offers_keys else []
        self._settle(self._offers_keys, self._offered_protocol)
        return phone_line(self.leg.local, self._protocol, crypto)

    def _settle(self, is_secure: bool, protocol: str) -> None:
        self._is_secure, self._protocol = is_secure, protocol
        self.leg.set_keys(self._sdes.keys if is_secure else None)

    def _protection(self) -> str:
        keys = self._sdes.keys
        if not self._is_secure or keys is None or keys.send is None:
            return "none"
        return f"SRTP, {keys.send.suite}"


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
