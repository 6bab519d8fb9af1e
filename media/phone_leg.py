"""RTP or SRTP towards one phone: two sockets, symmetric RTP, and no await for a packet.

Keys are given (`set_keys`) or found by DTLS on the same sockets (`start_dtls`).
"""

import ipaddress
import socket
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import trio

from media.dtls import DtlsIdentity
from media.legs import Latch, LegStatistics, Sink
from media.phone_dtls import DtlsPeer, HandshakeFailed, KeysFound, PhoneDtls, ToSend
from media.rtp import is_rtcp, is_rtp
from media.srtp import SrtpContexts, SrtpKeys
from p2psip.base.core import Address, address_text
from p2psip.base.errors import LocalError, RemoteError

RTCP_BYTES_MIN = 8
EARLY_DTLS_MAX = 4
HOSTS_CACHED_MAX = 256


def _plan_nothing(_leg: "PhoneLeg") -> None:
    """For a leg without DTLS."""


class PhoneLeg:
    """RTP and RTCP sockets towards one phone. `local` is the RTP address to put into a session description.

    `plan` is called when `poll_timeout` may have changed; who makes a leg without `identity` does without DTLS.
    """

    def __init__(
        self,
        rtp: socket.socket,
        rtcp: socket.socket,
        *,
        now: Callable[[], float],
        close: Callable[["PhoneLeg"], None],
        identity: DtlsIdentity | None = None,
        plan: Callable[["PhoneLeg"], None] = _plan_nothing,
    ) -> None:
        self._now, self._close = now, close
        self._identity, self._plan = identity, plan
        self.rtp, self.rtcp = rtp, rtcp
        self._send_rtp = rtp.sendto
        self._rtp_latch, self._rtcp_latch = Latch(), Latch()
        self.sink: Sink | None = None
        self._contexts, self._control_contexts = SrtpContexts(), SrtpContexts()
        self._srtp: SrtpContexts | None = None
        self._srtcp: SrtpContexts | None = None
        self._dtls: PhoneDtls | None = None
        self._early_dtls: deque[tuple[bytes, Address, bool]] = deque(maxlen=EARLY_DTLS_MAX)
        self._is_muxed = self._is_raw = False
        self._lost = trio.Event()
        self.lost_reason = ""
        self.local: Address = rtp.getsockname()[:2]
        self.statistics = LegStatistics()

    @property
    def fingerprint(self) -> str:
        """Of our DTLS certificate, for a session description (RFC 8122)."""
        if self._identity is None:
            raise LocalError("this leg was made without DTLS")
        return self._identity.fingerprint

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        """Where the phone wants its packets; `rtcp` defaults to the next port (RFC 3550 §11).

        RemoteError(488) for a host name: to look it up for each packet would stop the node.
        """
        for host, _ in (rtp, rtcp or rtp):
            _check_is_address(host)
        self._rtp_latch.aim(rtp, signalling_host)
        self._rtcp_latch.aim(rtcp or (rtp[0], min(rtp[1] + 1, 65_535)), signalling_host)

    def set_keys(self, keys: SrtpKeys | None) -> None:
        """Speak SRTP with these keys from now on; None: plain RTP. Keys that are in use already change nothing."""
        self._dtls, self._is_muxed = None, False
        self._srtp = self._srtcp = None if keys is None else self._contexts
        if keys is not None:
            self._contexts.set_keys(keys)
        self._plan(self)

    def set_raw(self, is_raw: bool) -> None:
        """Pass datagrams on that are no RTP: fax as T.38 (UDPTL). Never together with SRTP."""
        self._is_raw = is_raw

    def start_dtls(self, peer: DtlsPeer) -> None:
        """Find keys by DTLS with the phone where `set_remote` has aimed; nothing passes before. Goes on with an association
        that is the same as before. RemoteError(488) for a fingerprint that cannot be used.
        """
        rtp, rtcp = self._rtp_latch.announced, self._rtcp_latch.announced
        if self._identity is None:
            raise LocalError("this leg was made without DTLS")
        if rtp is None or rtcp is None:
            return  # a phone that begins on hold
        if self._dtls is not None and (self._dtls.peer, self._dtls.aimed_at) == (peer, (rtp, rtcp)):
            return
        self._dtls = PhoneDtls(self._identity, peer, rtp, rtcp, self._now())
        self._is_muxed = peer.is_muxed
        if self._srtp is None:
            self._contexts.set_keys(SrtpKeys())
        self._srtp = self._contexts
        self._srtcp = self._contexts if peer.is_muxed else self._control_contexts
        while self._early_dtls:
            data, source, is_control = self._early_dtls.popleft()
            self._receive_dtls(data, source, is_control=is_control)
        self._drain_dtls()

    async def wait_lost(self) -> str:
        """Return the reason when the handshake of DTLS has failed."""
        await self._lost.wait()
        return self.lost_reason

    def handle_timeout(self, now: float) -> None:
        """Serve DTLS."""
        if self._dtls is not None:
            self._dtls.handle_timeout(now)
            self._drain_dtls()

    def poll_timeout(self) -> float | None:
        """The next deadline of DTLS."""
        return None if self._dtls is None else self._dtls.poll_timeout()

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self.sink = sink

    def send(self, packet: bytes) -> None:
        """Send one packet to the phone."""
        is_control = not self._is_raw and 192 <= packet[1] <= 223
        srtp = self._srtcp if is_control else self._srtp
        if srtp is not None:
            protected = srtp.protect(packet)
            if protected is None:
                return
            packet = protected
        try:
            if is_control and not self._is_muxed:
                if self._rtcp_latch.target is not None:
                    self.rtcp.sendto(packet, self._rtcp_latch.target)
            elif (target := self._rtp_latch.target) is not None:
                statistics = self.statistics
                try:
                    self._send_rtp(packet, target)
                except ConnectionRefusedError:  # said of an earlier packet; this one was not sent
                    self._send_rtp(packet, target)
                if not is_control:
                    statistics.sent += 1
                    statistics.octets_sent += len(packet)
        except (OSError, OverflowError):  # the kernel's buffer is full, or the phone's port is closed: as UDP may
            return

    def receive_rtp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTP socket. What is no RTP must not latch, nor what does not fit the key."""
        statistics, latch = self.statistics, self._rtp_latch
        if not is_rtp(data) or (source != latch.learnt and not latch.allows(source)):
            self._receive_other(data, source)
            return
        if self._srtp is not None:
            opened = self._srtp.unprotect(data)
            if opened is None:
                statistics.undecryptable += 1
                return
            data = opened
        if source != latch.learnt:
            latch.admit(source)
        self._pass_on(data)

    def receive_rtcp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTCP socket."""
        if data and 20 <= data[0] < 64:
            self._receive_dtls(data, source, is_control=True)
        else:
            self._receive_control(data, source, self._rtcp_latch)

    def note_closed_port(self, times: int) -> None:
        """The phone's machine has said that nobody listens where we send RTP to."""
        self.statistics.closed_port += times

    def path(self) -> dict[str, Any]:
        """Which addresses this leg speaks with, for people: ours, the announced one, the one heard from, the one sent to."""
        latch = self._rtp_latch
        named = {"local": self.local, "announced": latch.announced, "heard_from": latch.learnt, "sent_to": latch.target}
        return {name: None if each is None else address_text(each) for name, each in named.items()}

    def close(self) -> None:
        """Close both sockets."""
        self._dtls = None
        self._close(self)

    def _pass_on(self, data: bytes) -> None:
        statistics = self.statistics
        statistics.received += 1
        statistics.octets_received += len(data)
        statistics.last = data
        if statistics.first_received is None:
            statistics.first_received = self._now()
        if self.sink is not None:
            self.sink(data)

    def _receive_other(self, data: bytes, source: Address) -> None:
        """What came on the RTP socket and is no RTP of the phone: DTLS, RTCP where it shares the port, or nothing that we take."""
        if self._is_raw and self._srtp is None and len(data) > 1 and self._rtp_latch.admit(source):
            self._pass_on(data)
        elif data and 20 <= data[0] < 64:
            self._receive_dtls(data, source, is_control=False)
        elif self._is_muxed and is_rtcp(data):
            self._receive_control(data, source, self._rtp_latch)
        else:
            statistics = self.statistics
            statistics.refused += 1
            statistics.refused_from = None if source == self._rtp_latch.target else source

    def _receive_control(self, data: bytes, source: Address, latch: Latch) -> None:
        if len(data) < RTCP_BYTES_MIN or data[0] >> 6 != 2 or not is_rtcp(data) or not latch.allows(source):
            self.statistics.refused += 1
            return
        if self._srtcp is not None:
            opened = self._srtcp.unprotect(data)
            if opened is None:
                self.statistics.undecryptable += 1
                return
            data = opened
        latch.admit(source)
        if self.sink is not None:
            self.sink(data)

    def _receive_dtls(self, data: bytes, source: Address, *, is_control: bool) -> None:
        """DTLS of the phone; what comes before its description is kept, since the phone may be the quicker."""
        latch = self._rtcp_latch if is_control else self._rtp_latch
        if self._dtls is None:
            if self._identity is not None and latch.announced is None:
                self._early_dtls.append((data, source, is_control))
            else:
                self.statistics.refused += 1
        elif not latch.allows(source):
            self.statistics.refused += 1
        else:
            self._dtls.receive(data, source, self._now(), is_control=is_control)
            self._drain_dtls()

    def _drain_dtls(self) -> None:
        while self._dtls is not None and (output := self._dtls.poll_output()) is not None:
            match output:
                case ToSend(data, destination, is_control):
                    self._send_dtls(data, destination, is_control=is_control)
                case KeysFound(keys, is_control):
                    (self._control_contexts if is_control else self._contexts).set_keys(keys)
                case HandshakeFailed(reason):
                    self.lost_reason = reason
                    self._lost.set()
        self._plan(self)

    def _send_dtls(self, data: bytes, destination: Address, *, is_control: bool) -> None:
        try:
            (self.rtcp if is_control else self.rtp).sendto(data, destination)
        except (OSError, OverflowError):  # it is sent again
            return


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def _check_is_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise RemoteError("media can only be sent to an IP address, not to a host name", status=488) from error
