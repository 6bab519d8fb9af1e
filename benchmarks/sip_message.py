"""SIP messages: an INVITE of about 900 bytes parsed in full (SDP included) and written again, beside sippy.

Sippy runs in the interpreter that P2PSIP_BENCH_SIPPY_PYTHON names (a virtual environment with `pip install sippy`).
Both sides get the same messages, all of them different, and CPU time is compared in turns.
"""

import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from p2psip.sip.parser import parse_message
from p2psip.sip.sdp import SessionDescription

MESSAGES = 2000
ROUNDS = 5
PEER_VARIABLE = "P2PSIP_BENCH_SIPPY_PYTHON"

TEMPLATE = (
    "INVITE sip:bob{n}@home.example SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.{b}:5060;branch=z9hG4bK-74bf9{n};rport\r\n"
    "Via: SIP/2.0/UDP 10.1.{b}.4:5062;branch=z9hG4bK776asdhds{n};received=192.0.2.1\r\n"
    "Max-Forwards: 70\r\n"
    'From: "Alice Liddell" <sip:alice{n}@home.example>;tag=1928301774{n}\r\n'
    "To: <sip:bob{n}@home.example>\r\n"
    "Call-ID: a84b4c76e66710-{n}@192.0.2.{b}\r\n"
    "CSeq: {n} INVITE\r\n"
    "Contact: <sip:alice@192.0.2.{b}:5060;transport=udp>\r\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, INFO, UPDATE, MESSAGE\r\n"
    "Supported: replaces, timer\r\n"
    "User-Agent: Example Phone 3.1 (build 20260114)\r\n"
    "Session-Expires: 1800;refresher=uac\r\n"
    "Accept: application/sdp\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: {length}\r\n\r\n{body}"
)
BODY = (
    "v=0\r\no=alice {n} 1 IN IP4 192.0.2.{b}\r\ns=-\r\nc=IN IP4 192.0.2.{b}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
PEER_PROGRAM = """
import json, sys, time
from sippy.SipRequest import SipRequest
messages = json.load(sys.stdin)
def once():
    begun = time.process_time()
    for text in messages:
        request = SipRequest(text)
        for header in request.headers:
            header.getBody()
        request.body.parse()
    parsed = time.process_time()
    everything = []
    for text in messages:
        request = SipRequest(text)
        for header in request.headers:
            header.getBody()
        request.body.parse()
        everything.append(request)
    written = time.process_time()
    for request in everything:
        str(request)
    return parsed - begun, time.process_time() - written
once()
print(json.dumps(once()))
"""


def measure() -> list[dict[str, Any]]:
    """Rows of the table: CPU microseconds a message."""
    messages = [_message(n) for n in range(1, MESSAGES + 1)]
    peer = os.environ.get(PEER_VARIABLE)
    ours, theirs = [], []
    _once(messages)
    for _ in range(ROUNDS):
        ours.append(_once(messages))
        if peer:
            theirs.append(_peer_once(peer, messages))
    if not peer:
        print(f"sippy is left out: set {PEER_VARIABLE} to a Python that has it", file=sys.stderr)
    rows = []
    for name, pick in (("parse", 0), ("write", 1)):
        rows.append(_row(name, [o[pick] for o in ours], [t[pick] for t in theirs], ""))
    rows.append(_row("parse and write", [sum(o) for o in ours], [sum(t) for t in theirs], "ratio <= 0.5"))
    size = round(median(len(message) for message in messages))
    return [{**row, "name": f"INVITE of {size} bytes: {row['name']}"} for row in rows]


def _message(n: int) -> bytes:
    fields = {"n": n, "b": n % 250 + 1, "port": 10_000 + 2 * n}
    body = BODY.format(**fields)
    return TEMPLATE.format(**fields, length=len(body), body=body).encode()


def _once(messages: list[bytes]) -> tuple[float, float]:
    """CPU seconds for parsing and for writing all messages."""
    begun = time.process_time()
    for data in messages:
        _parse_in_full(data)
    parsed = time.process_time()
    everything = [_parse_in_full(data) for data in messages]
    written = time.process_time()
    for request, description in everything:
        request.body = description.to_bytes()
        request.to_bytes()
    return parsed - begun, time.process_time() - written


def _parse_in_full(data: bytes) -> tuple[Any, SessionDescription]:
    request = parse_message(data)
    _ = request.vias, request.from_, request.to, request.call_id, request.cseq
    _ = request.contacts, request.max_forwards, request.content_type
    return request, SessionDescription.parse(request.body)


def _peer_once(python: str, messages: list[bytes]) -> tuple[float, float]:
    text = json.dumps([message.decode() for message in messages])
    done = subprocess.run([python, "-c", PEER_PROGRAM], input=text, capture_output=True, text=True, check=True)
    parsed, written = json.loads(done.stdout)
    return float(parsed), float(written)


def _row(name: str, ours: list[float], theirs: list[float], goal: str) -> dict[str, Any]:
    mine = median(ours) / MESSAGES * 1e6
    row: dict[str, Any] = {"name": name, "value": mine, "unit": "µs", "goal": goal, "peer": "sippy"}
    if theirs:
        row["peer_value"] = median(theirs) / MESSAGES * 1e6
        row["ratio"] = mine / row["peer_value"]
    return row
