"""How the audio of one phone is protected: what its descriptions and ours say about it, and when that comes into force.

RTP in the clear, SRTP with keys in the description (SDES, RFC 4568), or SRTP with keys from DTLS (RFC 5763). What a phone offers
decides: an offer of SRTP is answered with SRTP, also one that leaves the choice (RTP/AVP with keys, RFC 8643); of two ways to keys
DTLS is taken, for its keys are nowhere in the signalling.
"""

from dataclasses import dataclass
from typing import Literal

from media.dtls import is_fingerprint
from media.phone_dtls import DtlsPeer
from media.sdes import SdesNegotiation
from media.srtp import SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.calls.descriptions import FAX_PROTOCOL, SECURE_PROFILES, phone_line, read_fingerprint
from p2psip.calls.ports import PhoneMedia
from p2psip.sip.flow import Flow
from p2psip.sip.sdp import MediaDescription, SessionDescription

NOT_SECURE = "this node takes calls with SRTP only: switch it on in the phone"
KEYS_IN_THE_CLEAR = "SRTP keys would cross the network in the clear: let the phone register over TLS, or use DTLS-SRTP"
NO_KEYS = "an offer of SRTP without keys: neither a=crypto nor a=fingerprint"

Form = Literal["plain", "best effort", "secure", "dtls"]
_Mode = Literal["plain", "sdes", "dtls"]

_ENCRYPTED_TRANSPORTS = ("tls", "wss")
_PROTOCOLS = {"plain": "RTP/AVP", "best effort": "RTP/AVP", "secure": "RTP/SAVP", "dtls": "UDP/TLS/RTP/SAVP"}
_OFFERED: dict[Form, set[_Mode]] = {
    "plain": {"plain"},
    "best effort": {"plain", "sdes", "dtls"},
    "secure": {"sdes", "dtls"},
    "dtls": {"dtls"},
}
_DTLS_PREFIX = "UDP/TLS/"


@dataclass(frozen=True, slots=True)
class SrtpPolicy:
    """What is said to one phone. `offers`: the forms of our offer, one after the other to a phone that refuses the ones before;
    `is_required`: refuse plain RTP; `is_private`: no other machine reads the signalling.
    """

    offers: tuple[Form, ...] = ("plain",)
    is_required: bool = False
    is_private: bool = True

    @classmethod
    def towards(
        cls, flow: Flow, setting: Literal["off", "offered", "required"], *, is_phone: bool = True
    ) -> "SrtpPolicy":
        """What the setting means for the phone at the other end of `flow`. A provider cannot be told what to do: "required" is
        "offered" for it.
        """
        is_encrypted = flow.transport in _ENCRYPTED_TRANSPORTS
        if setting == "required" and is_phone:
            is_private = is_encrypted or _is_loopback(flow.remote[0])
            return cls(("secure", "dtls") if is_private else ("dtls",), True, is_private)
        if setting == "off":
            return cls()
        return cls(("best effort" if is_encrypted else "plain", "secure", "dtls"))


AS_OFFERED = SrtpPolicy()
"""RTP in our offers, and whatever can be carried of the phone's."""


@dataclass(frozen=True, slots=True)
class _Handshake:
    """What a phone says of DTLS; `setup` as in RFC 4145."""

    fingerprint: str
    setup: str
    is_muxed: bool


class PhoneSecurity:
    """The protection of one leg through its offers and answers; what is offered counts once it is answered."""

    def __init__(self, leg: PhoneMedia, chance: Chance, policy: SrtpPolicy, signalling_host: str) -> None:
        self._leg = leg
        self._policy = policy
        self._signalling_host = signalling_host
        self._sdes = SdesNegotiation(chance)
        self._forms = list(policy.offers)
        self._chosen: _Mode = "plain"  # of the phone's offer that is not answered yet
        self._offered: set[_Mode] = set()  # by us
        self._offered_protocol = ""
        self._handshake: _Handshake | None = None
        self._peer: DtlsPeer | None = None
        self._protocol = ""
        self.mode: _Mode | None = None

    @property
    def is_required(self) -> bool:
        """Whether nothing may pass in the clear."""
        return self._policy.is_required

    def take_offer(self, description: SessionDescription, media: MediaDescription) -> None:
        """Choose among what the phone offers; RemoteError(488) when none of it will do."""
        mode = self._choose(description, media)
        if self._policy.is_required:
            if mode == "plain":
                raise RemoteError(NOT_SECURE, status=488)
            if mode == "sdes" and not self._policy.is_private:
                raise RemoteError(KEYS_IN_THE_CLEAR, status=488)
        self._chosen, self._offered_protocol = mode, media.protocol
        if mode != "plain" and self.mode is None:
            self._leg.set_keys(SrtpKeys())  # nothing leaves in the clear while the answer is not written

    def answer_line(self, announced_host: str | None) -> MediaDescription:
        """Our audio line for the answer to a phone that says to be at `announced_host`."""
        local, protocol = self._leg.local, self._offered_protocol
        match self._chosen:
            case "sdes":
                line = phone_line(local, protocol, [self._sdes.answer().to_sdp()])
            case "dtls":
                assert self._handshake is not None
                self._peer = self._peer_of(self._handshake, announced_host)
                line = phone_line(local, protocol)
                self._describe_dtls(line, "active" if self._peer.is_client else "passive")
            case "plain":
                line = phone_line(local, protocol)
        self._settle(self._chosen, protocol)
        return line

    def offer_line(self) -> MediaDescription:
        """Our audio line for an offer: what is in use, or at first what the policy says."""
        form = self._forms[0]
        offers = _OFFERED[form] if self.mode is None else {self.mode}
        line = phone_line(self._leg.local, self._protocol or _PROTOCOLS[form])
        if "sdes" in offers:
            line.attributes += [("crypto", each.to_sdp()) for each in self._sdes.offer()]
        if "dtls" in offers:
            self._describe_dtls(line, "actpass")
        self._offered = set(offers)
        if form in ("secure", "dtls") and self.mode is None:
            self._leg.set_keys(SrtpKeys())
        return line

    def next_form(self) -> bool:
        """The phone has refused our first offer: whether there is another form of it."""
        if self.mode is not None or len(self._forms) < 2:
            return False
        self._forms.pop(0)
        return True

    def take_answer(self, description: SessionDescription, media: MediaDescription) -> None:
        """The phone's answer; RemoteError(488) when it does not fit our offer."""
        lines = media.all("crypto")
        fingerprint = read_fingerprint(description, media)
        mode: _Mode = "plain"
        if "dtls" in self._offered and fingerprint:
            setup = description.attribute(media, "setup") or "active"
            handshake = _Handshake(is_fingerprint(fingerprint), setup, media.get("rtcp-mux") is not None)
            mode, self._peer = "dtls", self._peer_of(handshake, None)
        elif "sdes" in self._offered and lines:
            self._sdes.take_answer(lines)
            mode = "sdes"
        is_secure = media.protocol in SECURE_PROFILES or self.mode not in (None, "plain")
        if mode == "plain" and (is_secure or self._policy.is_required):
            raise RemoteError(NOT_SECURE if self._policy.is_required else "an answer without keys for SRTP", status=488)
        self._settle(mode, media.protocol)

    def begin(self) -> None:
        """The leg is aimed: what is agreed on comes into force."""
        if self.mode == "dtls" and self._peer is not None:
            self._leg.start_dtls(self._peer)
        elif self.mode is not None:
            self._leg.set_keys(self._sdes.keys if self.mode == "sdes" else None)

    def words(self) -> str:
        """What protects the audio, for people."""
        if self.mode == "dtls":
            return "DTLS-SRTP"
        keys = self._sdes.keys
        if self.mode != "sdes" or keys is None or keys.send is None:
            return "none"
        return f"SRTP, {keys.send.suite}"

    def _choose(self, description: SessionDescription, media: MediaDescription) -> _Mode:
        lines, fingerprint = media.all("crypto"), read_fingerprint(description, media)
        setup = description.attribute(media, "setup")
        may_be = setup is not None and (fingerprint or "").lower().startswith("sha-256 ")
        if fingerprint is not None and (may_be or media.protocol.startswith(_DTLS_PREFIX)):
            if setup not in (None, "actpass", "active", "passive"):
                raise RemoteError(f"a=setup:{setup} is not carried here", status=488)
            is_muxed = media.get("rtcp-mux") is not None
            self._handshake = _Handshake(is_fingerprint(fingerprint), setup or "actpass", is_muxed)
            return "dtls"
        is_needed = media.protocol in SECURE_PROFILES
        if is_needed and not lines:
            raise RemoteError(NO_KEYS, status=488)
        try:
            self._sdes.take_offer(lines)
        except RemoteError:
            if is_needed:
                raise
            return "plain"
        return "sdes"

    def _peer_of(self, handshake: _Handshake, announced_host: str | None) -> DtlsPeer:
        """Who begins. An association that goes on keeps its roles; a phone behind a NAT begins itself (RFC 5763 §5 prefers us)."""
        before = self._peer
        if before is not None and before.fingerprint.upper() == handshake.fingerprint.upper():
            return DtlsPeer(before.is_client, before.fingerprint, handshake.is_muxed)
        is_natted = announced_host not in (None, self._signalling_host)
        is_client = handshake.setup == "passive" or (handshake.setup == "actpass" and not is_natted)
        return DtlsPeer(is_client, handshake.fingerprint, handshake.is_muxed)

    def _describe_dtls(self, line: MediaDescription, setup: str) -> None:
        line.attributes += [("fingerprint", self._leg.fingerprint), ("setup", setup)]
        if setup == "actpass" or (self._peer is not None and self._peer.is_muxed):
            line.attributes.append(("rtcp-mux", None))

    def _settle(self, mode: _Mode, protocol: str) -> None:
        self.mode = mode
        if protocol.lower() != FAX_PROTOCOL:
            self._protocol = protocol


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
