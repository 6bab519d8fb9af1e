"""The media end of a leg: a leg of the media plane together with the session descriptions that are spoken about it.

Here is the one towards another node; `p2psip/calls/phone_end.py` has the one towards a phone.

A media end is made once for each leg of a call and keeps its port through hold and resume.
"""

from dataclasses import replace
from typing import Any, Literal, Protocol

from media.legs import Leg
from media.secure import TransportDescription
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import (
    NO_FAX,
    OVERLAY_PROFILES,
    Audio,
    Layout,
    Origin,
    overlay_line,
    read_audio,
    read_transport,
    write_description,
)
from p2psip.calls.ports import MediaPort, OverlayMedia
from p2psip.sip.sdp import MediaDescription

EndKind = Literal["phone", "web phone", "node"]


class MediaEnd(Protocol):
    """What a call needs of either kind of end. `heard` and `said` are what was agreed on last, of the peer and of ours;
    `lost` is the reason once `wait_lost` has returned.
    """

    kind: EndKind
    heard: Audio | None
    said: Audio | None
    lost: str

    @property
    def leg(self) -> Leg:
        """The leg to bridge; made when first needed."""

    @property
    def can_be_lost(self) -> bool:
        """Whether the path has a heartbeat, so that `wait_lost` can return."""

    def take(self, body: bytes, *, is_offer: bool) -> Audio:
        """Read the peer's description and aim the media at it; RemoteError(488) when it cannot be used."""

    def write(self, audio: Audio, *, is_offer: bool) -> bytes:
        """Our description."""

    def write_otherwise(self) -> bytes | None:
        """Our first offer in another form, for a peer that has refused it (488); None when there is none."""

    async def wait_lost(self) -> str:
        """Return the reason when media can no longer pass."""

    def own_answer(self, audio: Audio) -> Audio | None:
        """What to answer to the offer `audio` without asking anybody, if nothing but the transport has changed."""

    def path(self) -> dict[str, Any]:
        """Which way its media takes, for people."""

    def close(self) -> None:
        """Free the leg."""


class Agreement:
    """Keeps what was agreed on: an offer counts once it is answered, so that a refused one leaves no trace."""

    def __init__(self) -> None:
        self.heard: Audio | None = None
        self.said: Audio | None = None
        self.lost = ""
        self.offered: Audio | None = None

    def write_otherwise(self) -> bytes | None:
        """See MediaEnd: there is one form only."""
        return None

    def note_taken(self, audio: Audio, *, is_offer: bool) -> None:
        """The peer's description was read."""
        if is_offer:
            self.offered = audio
        else:
            self.heard, self.said = audio, self.offered

    def note_written(self, audio: Audio, *, is_offer: bool) -> None:
        """Ours was written."""
        if is_offer:
            self.offered = audio
        else:
            self.heard, self.said = self.offered, audio


class OverlayEnd(Agreement):
    """ICE and DTLS-SRTP towards another node. Whoever speaks first is the offerer."""

    kind: EndKind = "node"
    can_be_lost = True

    def __init__(self, media: MediaPort, chance: Chance) -> None:
        super().__init__()
        self._media = media
        self._leg: OverlayMedia | None = None
        self._layout = Layout()
        self._origin = Origin.make(chance, "0.0.0.0")
        self._remote: TransportDescription | None = None
        self._is_restarting = False
        self._peer_restarted = False
        self.restarts = 0

    @property
    def leg(self) -> OverlayMedia:
        """The leg; it must have been offered or taken before."""
        assert self._leg is not None
        return self._leg

    def take(self, body: bytes, *, is_offer: bool) -> Audio:
        """See MediaEnd. Only other ICE credentials than before change the transport: 183 and 200 carry the same ones."""
        audio, description, media = read_audio(body, OVERLAY_PROFILES, self._layout)
        transport = read_transport(description, media)
        self._aim(transport, is_offer=is_offer)
        self.note_taken(audio, is_offer=is_offer)
        return audio

    def write(self, audio: Audio, *, is_offer: bool) -> bytes:
        """See MediaEnd."""
        if audio.is_fax:
            raise RemoteError(NO_FAX, status=488)
        leg = self._opened(offerer=is_offer)
        self.note_written(audio, is_offer=is_offer)
        transport = leg.description
        setup = "actpass" if is_offer else "passive" if transport.setup == "actpass" else transport.setup
        return write_description(audio, self._origin, self._layout, self._line(replace(transport, setup=setup)))

    async def wait_lost(self) -> str:
        """See MediaEnd."""
        leg = self.leg
        try:
            await leg.wait_connected()
        except RemoteError as error:
            self.lost = str(error)
        else:
            self.lost = await leg.wait_lost()
        return self.lost

    async def wait_restart_wanted(self) -> str:
        """Return the reason when the path must be made anew."""
        return await self.leg.wait_restart_wanted()

    def offer_restart(self) -> bytes:
        """An offer with a new transport and the same audio; what was offered before and not answered is given up."""
        self.leg.restart()
        self._is_restarting = True
        assert self.said is not None
        return self.write(self.said, is_offer=True)

    def own_answer(self, audio: Audio) -> Audio | None:
        """See MediaEnd."""
        return self.said if self._peer_restarted and audio == self.heard else None

    def path(self) -> dict[str, Any]:
        """See MediaEnd."""
        return {} if self._leg is None else self._leg.path()

    def close(self) -> None:
        """See MediaEnd."""
        if self._leg is not None:
            self._leg.close()

    def _line(self, transport: TransportDescription) -> MediaDescription:
        return overlay_line(transport)

    def _aim(self, transport: TransportDescription, *, is_offer: bool) -> None:
        """Take the peer's transport. Other credentials in an offer ask us to restart; in an answer they follow our own,
        and mean nothing when nobody asked for them.
        """
        leg, before = self._opened(offerer=not is_offer), self._remote
        self._peer_restarted = False
        if before is not None and (transport.ufrag, transport.password) == (before.ufrag, before.password):
            return
        if before is not None and not self._is_restarting:
            if not is_offer:
                return
            leg.restart()
        leg.set_remote(transport)
        self._remote = transport
        if before is not None:
            self._is_restarting, self._peer_restarted = False, is_offer
            self.restarts += 1

    def _opened(self, *, offerer: bool) -> OverlayMedia:
        if self._leg is None:
            self._leg = self._media.overlay_leg(offerer=offerer)
        return self._leg
