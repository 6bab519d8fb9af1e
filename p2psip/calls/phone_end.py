"""The media end of a leg towards a phone (or a provider's trunk): RTP, or SRTP as its descriptions say (`phone_security.py`).

What we offer to a phone is a setting, `[sip] srtp`. "off": RTP. "offered": RTP, with a=crypto (which phones that know no SRTP pass
over) to those that have registered over TLS; who refuses that is offered SRTP. "required": SRTP, and nothing else is taken; keys in
descriptions only where no other machine reads the signalling (TLS, or a phone on this machine), else DTLS-SRTP.
"""

from typing import Any

import trio

from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import (
    NO_FAX,
    PHONE_PROFILES,
    Audio,
    Layout,
    Origin,
    phone_addresses,
    read_audio,
    write_description,
)
from p2psip.calls.ends import Agreement, EndKind
from p2psip.calls.phone_security import AS_OFFERED, PhoneSecurity, SrtpPolicy
from p2psip.calls.ports import MediaPort


class PhoneEnd(Agreement):
    """RTP or SRTP towards a phone at `signalling_host`; its silence is no fault.

    Our sockets are on `host` (None: the media plane's choice); descriptions name `announced` in its place, if that is given.
    """

    kind: EndKind = "phone"

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
        self._security = PhoneSecurity(self.leg, chance, policy, signalling_host)
        self._announced: tuple[Address, Address | None] | None = None

    @property
    def can_be_lost(self) -> bool:
        """See MediaEnd: a handshake of DTLS can fail."""
        return self._security.mode == "dtls"

    @property
    def is_secure(self) -> bool:
        """Whether SRTP is agreed on."""
        return self._security.mode not in (None, "plain")

    def take(self, body: bytes, *, is_offer: bool) -> Audio:
        """See MediaEnd."""
        audio, description, media = read_audio(body, PHONE_PROFILES, self._layout, takes_fax=not self.is_secure)
        if is_offer:
            self._security.take_offer(description, media)
        else:
            self._security.take_answer(description, media)
        self._announced = phone_addresses(description, media)
        if not is_offer:
            self._aim(is_fax=audio.is_fax)
            self._layout.agree()
        self.note_taken(audio, is_offer=is_offer)
        return audio

    def write(self, audio: Audio, *, is_offer: bool) -> bytes:
        """See MediaEnd."""
        if audio.is_fax and (self.is_secure or self._security.is_required):
            raise RemoteError(NO_FAX, status=488)
        if is_offer:
            self._layout.revert()
            line = self._security.offer_line()
        else:
            line = self._security.answer_line(None if self._announced is None else self._announced[0][0])
            self._aim(is_fax=audio.is_fax)
            self._layout.agree()
        self.note_written(audio, is_offer=is_offer)
        return write_description(audio, self._origin, self._layout, line)

    async def wait_lost(self) -> str:
        """See MediaEnd; never returns without DTLS."""
        if not self.can_be_lost:
            await trio.sleep_forever()
        self.lost = await self.leg.wait_lost()
        return self.lost

    def write_otherwise(self) -> bytes | None:
        """See MediaEnd."""
        if self.offered is None or not self._security.next_form():
            return None
        return self.write(self.offered, is_offer=True)

    def own_answer(self, audio: Audio) -> Audio | None:
        """See MediaEnd: a phone has no transport that could change alone."""
        return None

    def path(self) -> dict[str, Any]:
        """See MediaEnd."""
        return {**self.leg.path(), "protection": self._security.words()}

    def close(self) -> None:
        """See MediaEnd."""
        self.leg.close()

    def _aim(self, *, is_fax: bool) -> None:
        """Send to where the phone says that it is: once that is agreed on, so that a change that is refused changes nothing."""
        if self._announced is not None:
            self.leg.set_remote(self._announced[0], self._signalling_host, rtcp=self._announced[1])
        self._security.begin()
        self.leg.set_raw(is_fax)
