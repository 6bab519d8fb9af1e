"""sipp scenarios of calls whose dialogs are used: written line by line as two phones would speak, and run as real sipp files.

`Caller` is the phone that sends INVITE, `Callee` the one that is called; both know their dialog, so a scenario says only what
is special: the method, the header fields, the description, and what must stand in what comes.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

SDP = """v=0
o=phone 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a={direction}"""
_OPTIONAL = (100, 180, 183)


class _Phone:
    """What both roles share. Variables are those of sipp."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps: list[str] = []
        self._variables: list[str] = []

    def pause(self, milliseconds: int) -> None:
        """Wait."""
        self._steps.append(f'<pause milliseconds="{milliseconds}" />')

    def write(self, folder: Path) -> Path:
        """The scenario as a file."""
        kept = ",".join(dict.fromkeys(self._variables))
        reference = f'<Reference variables="{kept}" />' if kept else ""
        path = folder / f"{self.name}.xml"
        steps = "\n".join(self._steps)
        path.write_text(
            f'<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name="{self.name}">\n{steps}\n{reference}\n</scenario>\n'
        )
        return path

    def _send(self, lines: Sequence[str], sdp: str | None, *, again: bool = True) -> None:
        head = [line for line in lines if line]
        if sdp is not None:
            head.append("Content-Type: application/sdp")
        body = "" if sdp is None else SDP.format(direction=sdp) + "\n"
        text = "\n".join([*head, "Content-Length: [len]", "", body])
        repeating = ' retrans="500"' if again else ""
        self._steps.append(f"<send{repeating}><![CDATA[\n{text}\n]]></send>")

    def _receive(self, what: str, must: Sequence[str], keep: dict[str, tuple[str, str]]) -> None:
        actions = []
        for number, pattern in enumerate(must):
            variable = f"must{len(self._variables)}_{number}"
            self._variables.append(variable)
            actions.append(
                f'<ereg regexp={quoteattr(pattern)} search_in="msg" check_it="true" assign_to="{variable}" />'
            )
        for variable, (header, pattern) in keep.items():
            self._variables.append(variable)
            found = f'search_in="hdr" header="{header}:" check_it="true" assign_to="{variable}"'
            actions.append(f"<ereg regexp={quoteattr(pattern)} {found} />")
        inner = f"<action>{''.join(actions)}</action>" if actions else ""
        self._steps.append(f"<recv {what}>{inner}</recv>")

    def receive_response(
        self, status: int, *must: str, keep: dict[str, tuple[str, str]] | None = None, may: Sequence[int] = _OPTIONAL
    ) -> None:
        """A response with this status, in which each pattern of `must` is found; those of `may` can come before."""
        for other in may:
            if other != status:
                self._steps.append(f'<recv response="{other}" optional="true" />')
        rrs = ' rrs="true"' if status < 300 else ""
        self._receive(f'response="{status}"{rrs}', must, keep or {})

    def receive_request(self, method: str, *must: str, keep: dict[str, tuple[str, str]] | None = None) -> None:
        """A request in which each pattern of `must` is found."""
        self._receive(f'request="{method}"', must, keep or {})

    def respond(self, status: int, *headers: str, sdp: str | None = None) -> None:
        """Answer the request that came last, within the dialog."""
        copied = [f"[last_{name}:]" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        self._send([f"SIP/2.0 {status} Said", *copied, *self._usual(), *headers], sdp, again=False)

    def _usual(self) -> list[str]:
        return ["Contact: <sip:phone@[local_ip]:[local_port]>", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"]


class Caller(_Phone):
    """The phone that calls. Fields of the injection file: 0 user, 1 domain, 3 whom to call."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._number = 0

    def invite(self, *headers: str, sdp: str | None = "sendrecv") -> None:
        """The INVITE that begins the call, or one more try of it."""
        self._number += 1
        self._send(self._lines("INVITE", "sip:[field3]@[field1]", "", self._number, headers), sdp)

    def ask(self, method: str, *headers: str, sdp: str | None = None) -> None:
        """A request within the dialog."""
        self._number += 1
        self._send(self._lines(method, "[next_url]", "[peer_tag_param]", self._number, headers), sdp)

    def acknowledge(self, *, failed: bool = False) -> None:
        """ACK for the INVITE that was sent last; with `failed` for another answer than 2xx to the first one."""
        uri = "sip:[field3]@[field1]" if failed else "[next_url]"
        lines = self._lines("ACK", uri, "[peer_tag_param]", self._number, ())
        if failed:
            lines[1] = lines[1].replace("[branch]", f"[branch-{len(_OPTIONAL) + 2}]")  # that of the INVITE
        self._send(lines, None, again=False)

    def acknowledge_invite(self, number: int) -> None:
        """ACK for the INVITE with this number."""
        self._send(self._lines("ACK", "[next_url]", "[peer_tag_param]", number, ()), None, again=False)

    def _lines(self, method: str, uri: str, tag: str, number: int, headers: Sequence[str]) -> list[str]:
        return [
            f"{method} {uri} SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport",
            "Max-Forwards: 70",
            "From: <sip:[field0]@[field1]>;tag=[call_number]",
            f"To: <sip:[field3]@[field1]>{tag}",
            "Call-ID: [call_id]",
            f"CSeq: {number} {method}",
            *self._usual(),
            *headers,
        ]


class Callee(_Phone):
    """The phone that is called."""

    _INVITE = {  # noqa: RUF012
        "via": ("Via", ".*"),
        "caller": ("From", ".*"),
        "callee": ("To", ".*"),
        "cseq": ("CSeq", ".*"),
        "contact": ("Contact", "sip:[^>]*"),
    }

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._number = 0

    def invited(self, *must: str) -> None:
        """The INVITE that begins the call."""
        self.receive_request("INVITE", *must, keep=self._INVITE)

    def say(self, status: int, *headers: str, sdp: str | None = None) -> None:
        """A response to that INVITE."""
        lines = [
            f"SIP/2.0 {status} Said",
            "Via:[$via]",
            "From:[$caller]",
            "To:[$callee];tag=callee[call_number]",
            "[last_Call-ID:]",
            "CSeq:[$cseq]",
        ]
        self._send([*lines, *self._usual(), *headers], sdp, again=200 <= status < 300)

    def ask(self, method: str, *headers: str, sdp: str | None = None) -> None:
        """A request within the dialog."""
        self._number += 1
        self._send(self._lines(method, headers), sdp)

    def acknowledge(self, *, failed: bool = False) -> None:
        """ACK for the re-INVITE that was sent last."""
        lines = self._lines("ACK", ())
        if failed:
            lines[1] = lines[1].replace("[branch]", f"[branch-{len(_OPTIONAL) + 2}]")  # that of the INVITE
        self._send(lines, None, again=False)

    def hold_back(self) -> None:
        """Take a re-INVITE and leave it open until `answer_held`."""
        self.receive_request("INVITE", keep={"via2": ("Via", ".*"), "cseq2": ("CSeq", ".*")})

    def answer_held(self, sdp: str) -> None:
        """200 to what was held back."""
        ours = ["From:[$caller]", "To:[$callee];tag=callee[call_number]", "[last_Call-ID:]"]
        self._send(["SIP/2.0 200 OK", "Via:[$via2]", *ours, "CSeq:[$cseq2]", *self._usual()], sdp)

    def _lines(self, method: str, headers: Sequence[str]) -> list[str]:
        return [
            f"{method} [$contact] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport",
            "Max-Forwards: 70",
            "From:[$callee];tag=callee[call_number]",
            "To:[$caller]",
            "Call-ID: [call_id]",
            f"CSeq: {self._number} {method}",
            *self._usual(),
            *headers,
        ]
