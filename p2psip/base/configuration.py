"""The signed configuration of an overlay: name, sequence and ban list (the idea is RELOAD's, RFC 6940 §11.1).

The authority signs it; every node carries the newest it has seen, from the bootstrap server or from any peer.
"""

from dataclasses import dataclass

from p2psip.base.certificates import authority_key, overlay_of
from p2psip.base.codec import pack, unpack
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NODE_ID_BYTES, SIGNATURE_BYTES, SigningKey, verify_signature

BANS_MAX = 4_000
_DOMAIN = b"p2psip overlay configuration v1\0"


@dataclass(frozen=True, slots=True)
class OverlayConfiguration:
    """What all nodes of one overlay agree upon. `issued` is in unix seconds; the highest `sequence` counts."""

    overlay: str
    sequence: int
    issued: int
    revoked_serials: frozenset[int] = frozenset()
    banned_node_ids: frozenset[bytes] = frozenset()


def sign_configuration(configuration: OverlayConfiguration, ca_key: SigningKey) -> bytes:
    """The configuration and the authority's signature over it, as one byte string."""
    body = pack(
        [
            configuration.overlay,
            configuration.sequence,
            configuration.issued,
            sorted(str(serial) for serial in configuration.revoked_serials),
            sorted(configuration.banned_node_ids),
        ]
    )
    return ca_key.sign(_DOMAIN + body) + body


def verify_configuration(data: bytes, ca_der: bytes) -> OverlayConfiguration:
    """The configuration in `data` if the authority of `ca_der` signed it for its own overlay; else RemoteError."""
    signature, body = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
    verify_signature(authority_key(ca_der), signature, _DOMAIN + body)
    match unpack(body):
        case [str() as overlay, int() as sequence, int() as issued, list() as serials, list() as node_ids]:
            pass
        case _:
            raise RemoteError("an overlay configuration of an unknown form")
    if overlay != overlay_of(ca_der):
        raise RemoteError("a configuration of another overlay", status=403)
    if max(len(serials), len(node_ids)) > BANS_MAX:
        raise RemoteError(f"a configuration with more than {BANS_MAX} bans", status=413)
    if not all(isinstance(serial, str) and serial.isascii() and serial.isdigit() for serial in serials):
        raise RemoteError("a configuration with a malformed serial number")
    if not all(isinstance(node_id, bytes) and len(node_id) == NODE_ID_BYTES for node_id in node_ids):
        raise RemoteError("a configuration with a malformed Node-ID")
    return OverlayConfiguration(
        overlay, sequence, issued, frozenset(int(serial) for serial in serials), frozenset(node_ids)
    )
