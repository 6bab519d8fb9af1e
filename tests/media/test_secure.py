"""The whole media path between two nodes as cores: ICE, DTLS in STUN indications, SRTP; and what must not get in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import stun
from media.dtls import DtlsIdentity
from media.ice.agent import DEADLINE_SECONDS
from media.ice.candidates import local_candidate
from media.ice.upkeep import CONSENT_EXPIRES_SECONDS
from media.rtp import RtpPacket
from media.secure import EARLY_PACKETS_MAX, MediaReceived, PathLost, Ready, SecureTransport
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from tests.media.world import Host, World

A: Address = ("192.0.2.1", 4000)
B: Address = ("192.0.2.2", 4000)
A6: Address = ("2001:db8::a", 4000)
B6: Address = ("2001:db8::b", 4000)
STRANGER: Address = ("198.51.100.6", 4000)
ALICE, BOB, EVE = DtlsIdentity(1_700_000_000), DtlsIdentity(1_700_000_000), DtlsIdentity(1_700_000_000)
RTCP = bytes.fromhex("80c90001" + "00000007")


def rtp(number: int) -> bytes:
    """An RTP packet."""
    return RtpPacket(0, False, number, 160 * number, 7, bytes([number % 256]) * 160).to_bytes()


class Call:
    """Two transports in a world; `talk` connects them."""

    def __init__(self, seed: int = 1, *, loss: float = 0.0, dual: bool = False) -> None:
        self.world = World(seed, loss=loss)
        here, there = ([A6, A], [B6, B]) if dual else ([A], [B])
        self.offerer, self.answerer = self._transport(True, here, ALICE), self._transport(False, there, BOB)
        self.a, self.b = self.world.add(self.offerer, *here), self.world.add(self.answerer, *there)

    @staticmethod
    def _transport(offerer: bool, addresses: list[Address], identity: DtlsIdentity) -> SecureTransport:
        candidates = [local_candidate("host", each, each, 65_535 - n) for n, each in enumerate(addresses)]
        seed = Chance.seeded(100 + offerer)
        return SecureTransport(offerer=offerer, candidates=candidates, identity=identity, chance=seed)

    def introduce(self) -> None:
        """Exchange descriptions as they are."""
        self.answerer.set_remote(self.offerer.description, self.world.now)
        self.offerer.set_remote(self.answerer.description, self.world.now)

    def connected(self) -> bool:
        """Whether both are ready."""
        return self.offerer.ready and self.answerer.ready

    def talk(self) -> "Call":
        """Introduce, and wait until both are ready."""
        self.introduce()
        self.world.run(DEADLINE_SECONDS, until=self.connected)
        assert self.connected(), (self.a.events, self.b.events)
        return self


def reasons(host: Host) -> list[str]:
    """Why the host's path was lost."""
    return [event.reason for _, event in host.events if isinstance(event, PathLost)]


def test_packets_pass_both_ways_as_they_were() -> None:
    call = Call().talk()
    for number in range(50):
        for sender, receiver, source in ((call.offerer, call.answerer, A), (call.answerer, call.offerer, B)):
            for packet in (rtp(number), RTCP):
                wire = sender.protect(packet)
                assert wire is not None
                assert packet[12:] not in wire or packet == RTCP
                assert receiver.unprotect(wire, source) == packet
    assert call.offerer.destination == B
    assert call.answerer.destination == A


def test_on_the_wire_there_is_nothing_but_stun() -> None:
    call = Call()
    seen: list[bytes] = []

    def watch(_host: Host, data: bytes, _destination: Address) -> bytes:
        seen.append(data)
        return data

    call.world.tap = watch
    call.talk()
    assert all(stun.is_stun(data) for data in seen)
    wrapped = [data for data in seen if stun.is_indication(data)]
    assert 2 <= len(wrapped) <= 12
    assert max(len(data) for data in wrapped) <= stun.STUN_BYTES_MAX


@pytest.mark.parametrize("dual", [True, False])
@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(8))
def test_loss_delays_but_does_not_prevent(seed: int, loss: float, dual: bool) -> None:
    call = Call(seed, loss=loss, dual=dual).talk()
    wire = call.offerer.protect(rtp(1))
    assert wire is not None
    assert call.answerer.unprotect(wire, A6 if call.offerer.destination == B6 else A) == rtp(1)


def test_a_peer_that_does_not_wrap_gets_bare_dtls() -> None:
    call = Call()
    seen: set[int] = set()

    def watch(host: Host, data: bytes, _destination: Address) -> bytes:
        if host is call.a:
            seen.add(data[0])
        return data

    call.world.tap = watch
    call.answerer.set_remote(replace(call.offerer.description, wraps_dtls=False), call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, wraps_dtls=False), call.world.now)
    call.world.run(5.0)
    assert call.connected()
    assert 22 in seen


def test_packets_before_the_keys_wait_within_a_bound() -> None:
    call = Call()
    for number in range(EARLY_PACKETS_MAX + 1):
        assert call.offerer.protect(rtp(number)) is None
    wires: list[bytes] = []

    def watch(host: Host, data: bytes, _destination: Address) -> bytes:
        if host is call.a and data[0] >= 128:
            wires.append(data)
        return data

    call.world.tap = watch
    call.talk()
    assert [call.answerer.unprotect(wire, A) for wire in wires] == [rtp(n) for n in range(1, EARLY_PACKETS_MAX + 1)]


def test_packets_that_overtake_the_last_flight_are_given_out_after_it() -> None:
    call = Call(7)
    call.world.tap = lambda host, data, _to: None if host is call.a and stun.is_indication(data) else data
    call.introduce()
    call.world.run(1.0, until=lambda: call.offerer.ready)  # the client of DTLS, whose last flight is lost
    for number in range(EARLY_PACKETS_MAX + 1):
        wire = call.offerer.protect(rtp(number))
        assert wire is not None
        assert call.answerer.unprotect(wire, A) is None
    call.world.tap = lambda _host, data, _to: data
    call.world.run(5.0, until=call.connected)
    given_out = [event.data for _, event in call.b.events if isinstance(event, MediaReceived)]
    assert given_out == [rtp(n) for n in range(1, EARLY_PACKETS_MAX + 1)]


def test_a_wrong_fingerprint_is_refused_and_said() -> None:
    call = Call()
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, fingerprint=EVE.fingerprint), call.world.now)
    call.world.run(20.0)
    assert not call.offerer.ready
    assert reasons(call.a) == ["the other side's DTLS certificate is not the one that its signalling named"]
    assert call.offerer.poll_timeout() is None


def test_a_man_in_the_middle_with_the_passwords_but_another_certificate_gets_no_keys() -> None:
    call = Call()
    eve = SecureTransport(
        offerer=False, candidates=[local_candidate("host", B, B)], identity=EVE, chance=Chance.seeded(9)
    )
    call.world.hosts.remove(call.b)
    call.world.add(eve, B)
    eve.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(eve.description, fingerprint=BOB.fingerprint), call.world.now)
    call.world.run(20.0)
    assert not call.offerer.ready
    assert len(reasons(call.a)) == 1


def test_a_wrong_password_is_said_before_the_deadline() -> None:
    call = Call()
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, password="another"), call.world.now)
    call.world.run(20.0)
    assert reasons(call.a) == ["the other side refuses the connectivity checks: it does not know their password"]


@pytest.mark.parametrize("fingerprint", ["", "sha-1 AB:CD", "sha-256 AB:CD"])
def test_a_description_without_a_fingerprint_is_refused_at_once(fingerprint: str) -> None:
    call = Call()
    with pytest.raises(RemoteError) as caught:
        call.answerer.set_remote(replace(call.offerer.description, fingerprint=fingerprint), 0.0)
    assert caught.value.status == 488


def test_what_is_replayed_changed_or_from_elsewhere_is_not_believed() -> None:
    call = Call().talk()
    wire = call.offerer.protect(rtp(1))
    control = call.offerer.protect(RTCP)
    assert wire is not None
    assert control is not None
    assert call.answerer.unprotect(wire, STRANGER) is None
    for place in range(len(wire)):
        changed = bytearray(wire)
        changed[place] ^= 1
        assert call.answerer.unprotect(bytes(changed), A) is None
    assert call.answerer.undecryptable >= len(wire) - 16
    assert call.answerer.unprotect(wire, A) == rtp(1)
    assert call.answerer.unprotect(wire, A) is None
    assert call.answerer.unprotect(control, A) == RTCP
    assert call.answerer.unprotect(control, A) is None


def test_keys_of_another_call_open_nothing() -> None:
    one, other = Call(1).talk(), Call(2).talk()
    wire = one.offerer.protect(rtp(1))
    assert wire is not None
    assert other.answerer.unprotect(wire, A) is None
    assert one.offerer.unprotect(wire, B) is None  # nor our own, sent back to us


def test_a_path_that_dies_is_said_once_and_nothing_piles_up_afterwards() -> None:
    call = Call().talk()
    check: list[bytes] = []

    def cut(host: Host, data: bytes, _destination: Address) -> None:
        if host is call.b and stun.is_request(data):
            check.append(data)

    call.world.tap = cut
    call.world.run(2 * CONSENT_EXPIRES_SECONDS)
    assert len(reasons(call.a)) == len(reasons(call.b)) == 1
    assert check
    for _ in range(1_000):
        call.offerer.receive(check[0], B, call.world.now)
    assert call.offerer.poll_output() is None
    assert len(call.offerer.path.in_use._outputs) == 0


def test_checks_after_a_failed_handshake_pile_up_nothing() -> None:
    call = Call()
    call.answerer.set_remote(call.offerer.description, call.world.now)
    call.offerer.set_remote(replace(call.answerer.description, fingerprint=EVE.fingerprint), call.world.now)
    call.world.run(3.0)
    assert call.offerer.lost
    attributes: dict[str, object] = {"PRIORITY": 1, "ICE-CONTROLLED": 1}
    agent = call.offerer.path.in_use
    check = stun.binding_request(bytes(12), f"{agent.ufrag}:peer", agent.password, attributes)
    for _ in range(1_000):
        call.offerer.receive(check, B, call.world.now)
    assert call.offerer.poll_output() is None
    assert len(agent._outputs) == 0


def test_bare_dtls_is_not_believed_from_a_peer_that_wraps() -> None:
    call = Call()
    fatal_alert = bytes.fromhex("15fefd0000000000000000000202" + "28")
    for _ in range(EARLY_PACKETS_MAX + 1):
        call.answerer.receive(fatal_alert, A, call.world.now)
    call.introduce()
    call.world.run(0.06)
    for transport, source in ((call.offerer, B), (call.answerer, A)):
        transport.receive(fatal_alert, source, call.world.now)
    call.world.run(3.0)
    assert call.connected()


def test_ten_thousand_garbage_datagrams_change_nothing() -> None:
    call = Call().talk()
    chance = Chance.seeded(4)
    for number in range(10_000):
        data = chance.bytes(1 + number % 200)
        call.answerer.receive(data, A, call.world.now)
        call.answerer.unprotect(data, A)
    call.world.run(1.0)
    wire = call.offerer.protect(rtp(5))
    assert wire is not None
    assert call.answerer.unprotect(wire, A) == rtp(5)
    assert len(call.answerer.path.in_use.checklist.pairs) == 1


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x00", b"\x16", b"\x80", b"\x00\x01\x00\x00\x21\x12\xa4\x42"]))
def test_any_bytes_at_any_time_are_taken_in_silence(data: bytes, head: bytes) -> None:
    call = Call()
    for _ in range(2):
        call.answerer.receive(head + data, A, 1_000.0)
        call.answerer.unprotect(head + data, A)
        call.answerer.protect(head + data)
        call.answerer.set_remote(call.offerer.description, 1_000.0)
    assert not call.answerer.lost


def test_ready_is_said_once_with_the_address() -> None:
    call = Call(3, dual=True).talk()
    call.world.run(20.0)
    for host, remote in ((call.a, {B, B6}), (call.b, {A, A6})):
        (ready,) = [event for _, event in host.events if isinstance(event, Ready)]
        assert ready.remote in remote
        assert reasons(host) == []
