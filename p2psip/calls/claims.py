"""Callers for whom nobody vouches: what they claim to be, marked so that nobody takes it for proved.

The mark travels in the display name, since every phone shows that, and each node puts it there itself: what another node says
of somebody outside the overlay is a claim as well. What RFC 3325 calls an asserted identity is never made of a claim.
"""

from p2psip.base.errors import RemoteError
from p2psip.calls.equipment import Party
from p2psip.calls.ports import DirectoryPort
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri

DISPLAY_LETTERS_MAX = 64
NOT_VERIFIED = "not verified"
NOBODY = "anonymous@anonymous.invalid"  # RFC 3323 §4.1.1.3

_MARK = f"{NOT_VERIFIED}: "


def stranger(claimed: NameAddr, flow: Flow) -> Party:
    """The party that a From of the open world makes. What is marked already is marked once."""
    address, shown = NOBODY, str(claimed.uri)
    if isinstance(claimed.uri, SipUri):
        shown = claimed.uri.address
        address = shown if claimed.uri.user else NOBODY
    shown = _clean(shown, 2 * DISPLAY_LETTERS_MAX)
    said = (claimed.display or "").removeprefix(_MARK).removesuffix(f" ({shown})")
    name = _clean(said, DISPLAY_LETTERS_MAX)
    plain = name in ("", shown)
    return Party(address, _MARK + (shown if plain else f"{name} ({shown})"), flow, None, "stranger")


def peer(request: Request, flow: Flow, overlay: str, directory: DirectoryPort) -> Party:
    """Who sent a request over the overlay. A node may speak for the addresses of its certificate only.

    It may also lead on the call of somebody outside the overlay, who is then a stranger here as at its own public door.
    """
    claimed = request.from_
    uri = claimed.uri
    is_of_overlay = isinstance(uri, SipUri) and uri.host.lower().rstrip(".") == overlay
    if request.method == "INVITE" and not is_of_overlay:
        return stranger(claimed, flow)
    address = claimed.sip_uri().address
    if address not in directory.addresses_of(flow.remote[0]):
        raise RemoteError(f"the node that sent this is not {address}", status=403)
    return Party(address, claimed.display, flow, kind="node")


def _clean(text: str, letters: int) -> str:
    """What a stranger sent, fit for a display: no line ends, no quotes that could close our own words."""
    kept = "".join(letter if letter.isprintable() and letter not in '"\\()' else " " for letter in text[: 4 * letters])
    return " ".join(kept.split())[:letters]
