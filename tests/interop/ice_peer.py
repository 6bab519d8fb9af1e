"""A SIP endpoint of our own stack with ICE and DTLS-SRTP towards a phone: what baresip is called with.

`python -m tests.interop.ice_peer OUR_HOST PHONE_HOST SIP_PORT SPOKEN_HERTZ EXPECTED_HERTZ [SECRET]` calls the phone from
port MEDIA_PORT, speaks one tone for five seconds, and prints one JSON line: the share of the energy heard at the other tone,
the path, the packets relayed. With a SECRET it is a relay server at TURN_PORT, too. It runs in a namespace of a test.
"""

import json
import sys
from array import array
from typing import Any

import trio

from media.g711 import PCMU, decode, encode
from media.rtp import RtpPacket, is_rtcp
from media.service import MediaService
from media.tones import energy_share, tone
from media.turn.service import TurnService
from media.turn.settings import TurnSettings
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.calls.descriptions import Audio
from p2psip.calls.ends import OverlayEnd
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.sip.build import make_request
from p2psip.sip.dialog import Dialog
from p2psip.sip.headers import NameAddr
from p2psip.sip.service import SipService
from p2psip.sip.uri import SipUri

MEDIA_PORT, TURN_PORT = 20_500, 3_478
REALM = "home.example"
SPOKEN_SECONDS = 5.0
ANSWER_SECONDS_MAX = 20.0
OFFER = Audio(("0",), (("rtpmap", "0 PCMU/8000"),))


async def call(host: str, phone: Address, spoken: float, expected: float, secret: str) -> dict[str, Any]:
    """One call from `host` to the phone; what came of it."""
    clock, chance = Clock(), Chance.system()
    port, turn_port = NodePort.bind([host], MEDIA_PORT), NodePort.bind([host], TURN_PORT)
    turn = TurnService(turn_port, clock, chance, TurnSettings(allows_private=True), secret.encode(), REALM)
    media = MediaService(port=port, clock=clock, chance=chance, phone_host=host, rtp_ports=(20_000, 20_100))
    sip = SipService(clock.now, chance)
    heard: array[int] = array("h")

    def take(packet: bytes) -> None:
        if not is_rtcp(packet):
            heard.extend(decode(PCMU, RtpPacket.parse(packet).payload))

    async with trio.open_nursery() as nursery:
        for service in (port, media, sip):
            await nursery.start(service.run)
        if secret:
            turn_port.route(0, 3, turn.receive_stun)
            await nursery.start(turn_port.run)
            await nursery.start(turn.run)
        local = await sip.listen_udp(host, 0)
        flow = await sip.connect("udp", phone)
        end, contact = OverlayEnd(media, chance), f"<sip:test@{host}:{local[1]}>"
        invite = make_request(
            "INVITE",
            SipUri("sip", "phone", None, phone[0], phone[1]),
            from_=NameAddr(None, SipUri("sip", "test", None, host, local[1])).with_tag(chance.token(4)),
            to=NameAddr(None, SipUri("sip", "phone", None, phone[0], phone[1])),
            call_id=chance.token(8),
            cseq=1,
            headers=[("Contact", contact)],
            body=_with_default(end.write(OFFER, is_offer=True), (host, port.number)),
            content_type="application/sdp",
        )
        exchange = sip.start(invite, flow)
        with trio.fail_after(ANSWER_SECONDS_MAX):
            while (response := await exchange.next_response()).status < 200:
                pass
            if response.status >= 300:
                raise SystemExit(f"the call was refused: {response.status} {response.reason}")
            dialog = Dialog.of_client(invite, response, contact)
            exchange.acknowledge(response, dialog.acknowledge(1))
            end.take(response.body, is_offer=False)
            end.leg.connect(take)
            await end.leg.wait_connected()
        await _speak(end, spoken)
        sip.start(dialog.request("BYE"), flow)
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    share = energy_share(heard[-8_000:], expected)
    return {"share": share, "path": end.leg.path(), "relayed": turn.statistics()["packets"]}


def _with_default(description: bytes, default: Address) -> bytes:
    """baresip 1.0 follows RFC 5245 §4.3: the m= and c= lines must name one of the candidates."""
    described = description.replace(b"c=IN IP4 0.0.0.0", f"c=IN IP4 {default[0]}".encode())
    return described.replace(b"m=audio 9 ", f"m=audio {default[1]} ".encode())


async def _speak(end: OverlayEnd, hertz: float) -> None:
    speech, begun = encode(PCMU, tone(hertz, 1.0)), trio.current_time()
    for number in range(int(SPOKEN_SECONDS * 50)):
        payload = speech[160 * (number % 50) : 160 * (number % 50) + 160]
        end.leg.send(RtpPacket(0, number == 0, number, 160 * number, 77, payload).to_bytes())
        await trio.sleep_until(begun + 0.02 * (number + 1))


def main() -> None:
    """See the module."""
    host, sip_host, sip_port, spoken, expected, *secrets = sys.argv[1:]
    report = trio.run(call, host, (sip_host, int(sip_port)), float(spoken), float(expected), "".join(secrets))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
