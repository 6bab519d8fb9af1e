"""What happens to Via on the way: ours on top, the source of a request noted, the hop kept for ACK and CANCEL (RFC 3261 §18)."""

from dataclasses import replace

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.flow import OVERLAY, Flow
from p2psip.sip.headers import CSeq, Via
from p2psip.sip.message import Request

UDP_PORT = 5060


def put_via(request: Request, flow: Flow, branch: str) -> None:
    """Put our own Via on top of `request` (§18.1.1), asking for rport."""
    if flow.transport == OVERLAY:
        host, port = f"{flow.local[0][:32]}.invalid", None
    else:
        host, number = flow.sent_by or flow.local
        port = number or None
        host = f"[{host}]" if ":" in host else host
    via = Via(flow.transport.upper(), host, port, (("branch", branch), ("rport", None)))
    request.headers.insert_first("Via", str(via))


def note_source(request: Request, flow: Flow) -> None:
    """§18.2.1 and RFC 3581 §4: say in the topmost Via where the request came from."""
    if flow.transport == OVERLAY:
        return
    try:
        vias = request.vias
    except SipSyntaxError:
        return
    top = vias[0]
    changed = top
    if top.parameter("rport") is not None:
        kept = [pair for pair in top.parameters if pair[0] not in ("rport", "received")]
        noted = (*kept, ("rport", str(flow.remote[1])), ("received", flow.remote[0]))
        changed = Via(top.transport, top.host, top.port, noted, top.version)
    elif not _names_source(top, flow):
        changed = changed.with_parameter("received", flow.remote[0])
    if changed is not top:
        request.headers.put_first("Via", [(str(via), via) for via in (changed, *vias[1:])])


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Where the responses to `request`, which came over `flow`, go (§18.2.2).

    Over UDP without rport (RFC 3581) that is the port in the topmost Via. A request that has come through a NAT is
    answered at its source all the same, since nothing else gets back to it.
    """
    if flow.transport != "udp":
        return flow
    top = request.top_via
    if top.parameter("rport") is not None or not _names_source(top, flow):
        return flow
    return replace(flow, remote=(flow.remote[0], top.port or UDP_PORT))


def same_hop(request: Request, method: str, to: str | None) -> Request:
    """ACK for a failure, and CANCEL: the same Request-URI, topmost Via, From, Call-ID, Route and number (§9.1, §17.1.1.3)."""
    copied = Request(method, request.uri)
    copied.headers.add("Via", str(request.top_via))
    for name, value in request.headers:
        if name in ("From", "Call-ID", "Route", "Max-Forwards"):
            copied.headers.add(name, value)
    copied.headers.add("To", to or "")
    copied.headers.add("CSeq", str(CSeq(request.cseq.number, method)))
    return copied


def _names_source(via: Via, flow: Flow) -> bool:
    return via.host.strip("[]").lower() == flow.remote[0].lower()
