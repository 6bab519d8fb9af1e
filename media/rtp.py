"""RTP packets (RFC 3550 §5.1) as far as a node looks into them, and telling RTCP apart on one port (RFC 5761 §4)."""

import struct
from dataclasses import dataclass

from p2psip.base.errors import RemoteError

HEADER_BYTES = 12
PACKET_BYTES_MAX = 1_460

_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. `timestamp` is in units of the payload's clock; sequence and timestamp wrap."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """The packet in `data`, without its CSRC list, header extension and padding; RemoteError otherwise."""
        if not len(data) >= HEADER_BYTES or data[0] >> 6 != 2:
            raise RemoteError("a datagram that is no RTP packet")
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        start = HEADER_BYTES + 4 * (first & 0x0F)
        if first & 0x10:
            if len(data) < start + 4:
                raise RemoteError("an RTP packet with a header extension that is cut off")
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        end = len(data) - (data[-1] if first & 0x20 else 0)
        if start > end or (first & 0x20 and data[-1] == 0):
            raise RemoteError("an RTP packet with lengths that do not fit")
        return cls(second & 0x7F, second >= 0x80, sequence, timestamp, ssrc, data[start:end])

    def to_bytes(self) -> bytes:
        """The packet as it goes on the wire."""
        second = self.payload_type | (0x80 if self.marker else 0)
        return _HEADER.pack(0x80, second, self.sequence, self.timestamp, self.ssrc) + self.payload


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram with version 2 is RTCP (packet types 192 to 223)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def is_rtp(data: bytes) -> bool:
    """Whether a datagram can be RTP at all: version 2, a whole header, no RTCP."""
    return len(data) >= HEADER_BYTES and 0x80 <= data[0] <= 0xBF and not 192 <= data[1] <= 223
