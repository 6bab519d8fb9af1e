"""RTP or SRTP towards one phone: two sockets, symmetric RTP, and no await for a packet."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from media.legs import Latch, LegStatistics, Sink
from media.rtp import is_rtcp, is_rtp
from media.srtp import SrtpContexts, SrtpKeys
from p2psip.base.core import Address, address_text
from p2psip.base.errors import RemoteError

RTCP_BYTES_MIN = 8


class PhoneLeg:
    """RTP and RTCP sockets towards one phone. `local` is the RTP address to put into a session description."""

    def __init__(
        self, rtp: socket.socket, rtcp: socket.socket, *, now: Callable[[], float], close: Callable[["PhoneLeg"], None]
    ) -> None:
        self._now, self._close = now, close
        self.rtp, self.rtcp = rtp, rtcp
        self._send_rtp = rtp.sendto
        self._rtp_latch, self._rtcp_latch = Latch(), Latch()
        self._sink: Sink | None = None
        self._contexts = SrtpContexts()
        self._srtp: SrtpContexts | None = None
        self.local: Address = rtp.getsockname()[:2]
        self.statistics = LegStatistics()

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
        self._srtp = None if keys is None else self._contexts
        if keys is not None:
            self._contexts.set_keys(keys)

    def connect(self, sink: Sink | None) -> None:
        """Hand received packets to `sink`."""
        self._sink = sink

    def send(self, packet: bytes) -> None:
        """Send one packet to the phone."""
        if self._srtp is not None:
            protected = self._srtp.protect(packet)
            if protected is None:
                return
            packet = protected
        try:
            if 192 <= packet[1] <= 223:
                if self._rtcp_latch.target is not None:
                    self.rtcp.sendto(packet, self._rtcp_latch.target)
            elif (target := self._rtp_latch.target) is not None:
                statistics = self.statistics
                try:
                    self._send_rtp(packet, target)
                except ConnectionRefusedError:  # said of an earlier packet; this one was not sent
                    self._send_rtp(packet, target)
                statistics.sent += 1
                statistics.octets_sent += len(packet)
        except (OSError, OverflowError):  # the kernel's buffer is full, or the phone's port is closed: as UDP may
            return

    def receive_rtp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTP socket. What is no RTP must not latch, nor what does not fit the key."""
        statistics, latch = self.statistics, self._rtp_latch
        if not is_rtp(data) or (source != latch.learnt and not latch.allows(source)):
            statistics.refused += 1
            statistics.refused_from = None if source == latch.target else source
            return
        if self._srtp is not None:
            opened = self._srtp.unprotect(data)
            if opened is None:
                statistics.undecryptable += 1
                return
            data = opened
        if source != latch.learnt:
            latch.admit(source)
        statistics.received += 1
        statistics.octets_received += len(data)
        statistics.last = data
        if statistics.first_received is None:
            statistics.first_received = self._now()
        if self._sink is not None:
            self._sink(data)

    def receive_rtcp(self, data: bytes, source: Address) -> None:
        """A datagram on the RTCP socket."""
        latch = self._rtcp_latch
        if len(data) < RTCP_BYTES_MIN or data[0] >> 6 != 2 or not is_rtcp(data) or not latch.allows(source):
            self.statistics.refused += 1
            return
        if self._srtp is not None:
            opened = self._srtp.unprotect(data)
            if opened is None:
                self.statistics.undecryptable += 1
                return
            data = opened
        latch.admit(source)
        if self._sink is not None:
            self._sink(data)

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
        self._close(self)


def _check_is_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise RemoteError("media can only be sent to an IP address, not to a host name", status=488) from error
