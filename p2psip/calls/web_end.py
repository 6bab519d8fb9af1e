"""The media end of a leg towards a phone with ICE and DTLS-SRTP on one port: a browser (RFC 8825), or a phone that offers the same.

It takes the media path that nodes have among themselves, and leaves out what only nodes understand.
"""

from dataclasses import replace
from typing import Any

from media.secure import TransportDescription
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import OVERLAY_PROFILES, overlay_line
from p2psip.calls.ends import EndKind, OverlayEnd
from p2psip.sip.flow import Flow
from p2psip.sip.sdp import MediaDescription, SessionDescription

WEB_TRANSPORTS = ("ws", "wss")


class WebEnd(OverlayEnd):
    """ICE and DTLS-SRTP towards a phone. Whoever speaks first is the offerer."""

    kind: EndKind = "web phone"

    def path(self) -> dict[str, Any]:
        """See MediaEnd."""
        return {**super().path(), "protection": "DTLS-SRTP"}

    def _line(self, transport: TransportDescription) -> MediaDescription:
        line = overlay_line(replace(transport, wraps_dtls=False, dtls=b""))
        line.protocol = self._layout.lines[self._layout.audio][1] if self._layout.lines else OVERLAY_PROFILES[1]
        return line


def is_web(flow: Flow, offer: bytes) -> bool:
    """Whether the phone at the other end of `flow` is spoken with by ICE: its offer says so, or, when there is none, WebSocket."""
    if not offer:
        return flow.transport in WEB_TRANSPORTS
    if b"ice-ufrag" not in offer:
        return False
    try:
        description = SessionDescription.parse(offer)
    except RemoteError:
        return False
    return any(
        media.kind == "audio"
        and media.port != 0
        and media.protocol in OVERLAY_PROFILES
        and media.get("rtcp-mux") is not None
        and description.attribute(media, "ice-ufrag") is not None
        for media in description.media
    )
