"""Which request credentials were computed for: the `uri` of a digest against the Request-URI (RFC 7616 §3.4.6, RFC 3261 §22.4).

Whoever can change what a phone sends, without knowing its password, must not turn a call to one number into a call to another.
"""

from p2psip.calls.addresses import Addresses
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import OtherUri, SipUri, parse_uri

_WILDCARDS = ("0.0.0.0", "::")


def is_for_request(text: str, request: Request, flow: Flow, addresses: Addresses) -> bool:
    """Whether the digest's `uri`, `text`, designates what `request` does, or this node and nobody in particular.

    The same resource is the same user at the same host: phones drop and rewrite ports and parameters. The node itself may be
    named by the overlay's name, by the host of the Request-URI or by the address that the message came to: sipp writes
    `sip:address:port` of the server whatever it asks for.
    """
    try:
        uri = parse_uri(text)
    except SipSyntaxError:
        return False
    if uri == request.uri:
        return True
    if isinstance(uri, SipUri) and uri.user is None:
        return _names_node(uri, request.uri, flow, addresses.overlay)
    return _resource(uri, addresses) == _resource(request.uri, addresses)


def _names_node(uri: SipUri, target: SipUri | OtherUri, flow: Flow, overlay: str) -> bool:
    host = uri.ip_host.lower()
    if host in (overlay, flow.local[0]) or (isinstance(target, SipUri) and host == target.ip_host.lower()):
        return True
    return flow.local[0] in _WILDCARDS and Addresses(overlay, ()).of_ours(uri) is not None


def _resource(uri: SipUri | OtherUri, addresses: Addresses) -> str:
    ours = addresses.of_ours(uri)
    if ours is not None:
        return ours
    return uri.address if isinstance(uri, SipUri) else str(uri)
