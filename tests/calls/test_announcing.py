"""Who dials for help in vain hears it: what packets when, what ends it, and who is refused at once as ever."""

from array import array

import pytest
import trio
from trio.testing import MockClock

from media import g711
from media.announcement import announcement
from media.rtp import RtpPacket
from media.tones import tone
from p2psip.calls.announcing import ANNOUNCEMENT_SECONDS_MAX, ANNOUNCEMENTS_MAX, CONNECT_SECONDS_MAX
from p2psip.sip.extensions import tokens
from p2psip.sip.sdp import SessionDescription
from tests.calls.early_steps import EarlyCaller, calls
from tests.calls.fakes import FINGERPRINT, FakeLeg
from tests.calls.ladders import Ladder
from tests.calls.steps import two_nodes
from tests.calls.test_secure_calls import secure
from tests.calls.world import Node, Outgoing, Phone, World, sdp, world

HELP = "sip:112@home.example"
SPOKEN = announcement(tone(300.0, 1.0))
SECONDS = len(SPOKEN) / g711.SAMPLE_RATE
ICE = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=rtcp-mux\r\n"


async def one_phone(w: World, samples: "array[int] | None" = SPOKEN) -> tuple[Node, Phone]:
    """A node without a trunk for emergencies, and its phone."""
    node = await w.node("alice", "1001", announcement=samples)
    return node, await w.phone(node, "alice", 6000)


def by_dtls(more: str) -> bytes:
    """What a phone says that wants DTLS-SRTP."""
    keys = f"a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n{more}"
    return sdp(6001).replace(b"RTP/AVP", b"UDP/TLS/RTP/SAVPF") + keys.encode()


def heard(node: Node, leg: int = -1) -> list[RtpPacket]:
    return [RtpPacket.parse(packet) for packet in node.media.legs[leg].packets]


async def refused_at_once(outgoing: Outgoing, status: int = 503) -> str:
    """The words of a refusal that nothing came before."""
    started = trio.current_time()
    while (response := await outgoing.exchange.next_response()).status < 200:
        assert response.status == 100, "no early media"
    assert response.status == status
    assert trio.current_time() - started < 0.5
    return response.warning


@pytest.mark.parametrize(("formats", "payload_type"), [("0 8 101", g711.PCMU), ("9 8 0", g711.PCMA)])
async def test_who_dials_for_help_hears_it_and_is_refused_then(
    autojump_clock: MockClock, formats: str, payload_type: int
) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP, sdp(6001, formats))
        early = await outgoing.response(183)
        (line,) = SessionDescription.parse(early.body).media
        assert (line.kind, line.formats) == ("audio", (str(payload_type),))
        assert node.media.legs[0].remotes == [("127.0.0.1", 6001)]
        started = trio.current_time()
        response = await outgoing.response(503)
        assert trio.current_time() - started == pytest.approx(SECONDS, abs=0.1)
        assert response.warning == "112 cannot be called from here: use another telephone"
        assert response.to.tag == early.to.tag
        packets = heard(node)
        assert {packet.payload_type for packet in packets} == {payload_type}
        wire = b"".join(packet.payload for packet in packets)
        assert wire[: len(SPOKEN)] == g711.encode(payload_type, SPOKEN)
        assert not node.media.open_legs()
        assert node.server.equipment.announcing.playing == 0


async def test_the_ladder_of_such_a_call(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        ladder = Ladder(w, alice=alice, node=node)
        ladder.begin()
        outgoing = await alice.call(HELP)
        await outgoing.response(503)
        await trio.sleep(1)
        ladder.compare(
            """
            alice > node INVITE sdp
            node > alice 401 INVITE
            alice > node ACK
            alice > node INVITE sdp
            node > alice 183 INVITE sdp
            node > alice 503 INVITE
            alice > node ACK
            """
        )
        (record,) = node.server.log
        said = [step.summary for step in record.steps]
        assert said[1:] == ["183 Session Progress", "RTP: announcement", "503 Service Unavailable"]
        assert (record.state, record.status, record.media) == ("ended", 503, {})


async def test_cancel_ends_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP)
        await outgoing.response(183)
        await trio.sleep(1.0)
        outgoing.exchange.cancel()
        await outgoing.response(487)
        count = len(heard(node))
        assert 40 < count < 60
        await trio.sleep(SECONDS)
        assert len(heard(node)) == count
        assert node.server.equipment.announcing.playing == 0
        assert not list(node.server.standing)


async def test_hanging_up_in_the_early_dialog_ends_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP)
        caller = EarlyCaller(outgoing, await outgoing.response(183))
        await trio.sleep(1.0)
        assert (await caller.dialog.ask("BYE")).status == 200
        await outgoing.response(487)
        assert node.server.equipment.announcing.playing == 0


async def test_a_node_that_goes_down_ends_it_with_the_same_words(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP)
        await outgoing.response(183)
        started = trio.current_time()
        await node.server.stop()
        assert trio.current_time() - started < 1
        assert "use another telephone" in (await outgoing.response(503)).warning


async def test_a_second_call_hears_it_while_the_first_does(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        first = await alice.call(HELP)
        await first.response(183)
        await trio.sleep(1.5)
        second = await alice.call(HELP, sdp(6011))
        await second.response(183)
        assert node.server.equipment.announcing.playing == 2
        await first.response(503)
        await second.response(503)
        assert len(heard(node, 0)) == len(heard(node, 1))


async def test_beyond_the_bound_the_refusal_comes_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        calls = [await alice.call(HELP, sdp(7000 + 2 * number)) for number in range(ANNOUNCEMENTS_MAX)]
        for each in calls:
            await each.response(183)
        await refused_at_once(await alice.call(HELP, sdp(8000)))
        await calls[0].response(503)
        await (await alice.call(HELP, sdp(8000))).response(183)
        assert node.server.equipment.announcing.playing <= ANNOUNCEMENTS_MAX


async def test_it_ends_after_its_time(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, alice = await one_phone(w, tone(300.0, ANNOUNCEMENT_SECONDS_MAX + 30))
        outgoing = await alice.call(HELP)
        await outgoing.response(183)
        started = trio.current_time()
        await outgoing.response(503)
        assert trio.current_time() - started == pytest.approx(ANNOUNCEMENT_SECONDS_MAX, abs=0.1)


# Reliable, secure


@pytest.mark.parametrize("header", ["Supported", "Require"])
async def test_it_begins_reliably_where_the_phone_wants_that(autojump_clock: MockClock, header: str) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await calls(alice, HELP, (header, "100rel"))
        early = await outgoing.response(183)
        assert "100rel" in tokens(early.headers, "Require")
        caller = EarlyCaller(outgoing, early)
        assert (await caller.acknowledge(early)).status == 200
        await outgoing.response(503)
        assert len(heard(node)) == pytest.approx(SECONDS / 0.02, abs=2)


async def test_a_phone_may_change_its_media_while_it_listens(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await calls(alice, HELP, ("Supported", "100rel"))
        early = await outgoing.response(183)
        caller = EarlyCaller(outgoing, early)
        await caller.acknowledge(early)
        changed = await caller.dialog.ask("UPDATE", body=sdp(6021), content_type="application/sdp")
        assert changed.status == 200
        assert node.media.legs[0].remotes[-1] == ("127.0.0.1", 6021)
        assert (await caller.dialog.ask("INFO", body=b"1", content_type="text/plain")).status == 480
        await outgoing.response(503)
        assert len(heard(node)) == pytest.approx(SECONDS / 0.02, abs=2)


async def test_a_phone_that_acknowledges_nothing_is_told_the_same_in_the_end(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, alice = await one_phone(w, announcement(tone(300.0, 18.0)))
        outgoing = await calls(alice, HELP, ("Require", "100rel"))
        await outgoing.response(183)
        assert "use another telephone" in (await outgoing.response(503)).warning


async def test_it_is_srtp_where_the_phone_offers_that(autojump_clock: MockClock) -> None:
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP, secure())
        (line,) = SessionDescription.parse((await outgoing.response(183)).body).media
        assert (line.protocol, len(line.all("crypto"))) == ("RTP/SAVP", 1)
        assert node.media.legs[0].keys is not None
        await outgoing.response(503)
        assert heard(node)


@pytest.mark.parametrize("ice", ["", ICE])
async def test_it_is_dtls_where_the_phone_offers_that(autojump_clock: MockClock, ice: str) -> None:
    offer = by_dtls(ice)
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP, offer)
        (line,) = SessionDescription.parse((await outgoing.response(183)).body).media
        assert (line.protocol, line.get("ice-ufrag") is not None) == ("UDP/TLS/RTP/SAVPF", bool(ice))
        await outgoing.response(503)
        assert heard(node)


async def test_a_browser_whose_path_never_comes_is_refused_soon(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_leg: FakeLeg) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(FakeLeg, "wait_connected", never)
    async with world() as w:
        node, alice = await one_phone(w)
        outgoing = await alice.call(HELP, by_dtls(ICE))
        await outgoing.response(183)
        started = trio.current_time()
        assert "use another telephone" in (await outgoing.response(503)).warning
        assert trio.current_time() - started == pytest.approx(CONNECT_SECONDS_MAX, abs=0.1)
        assert not heard(node)


# Nothing to hear


@pytest.mark.parametrize(
    "body", [sdp(6001, "9 18"), sdp(6001, direction="inactive"), sdp(6001, direction="sendonly"), b""]
)
async def test_who_cannot_hear_it_is_refused_at_once(autojump_clock: MockClock, body: bytes) -> None:
    async with world() as w:
        _node, alice = await one_phone(w)
        assert "use another telephone" in await refused_at_once(await alice.call(HELP, body))


async def test_without_an_announcement_the_refusal_comes_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, alice = await one_phone(w, None)
        await refused_at_once(await alice.call(HELP))


async def test_other_refusals_are_not_announced(autojump_clock: MockClock) -> None:
    async with world() as w:
        _node, alice = await one_phone(w)
        await refused_at_once(await alice.call("sip:nobody@home.example"), 404)
        await refused_at_once(await alice.call("sip:alice@home.example"), 480)


async def test_somebody_called_like_an_emergency_number_is_busy_without_an_announcement(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        _node, alice = await one_phone(w)
        there = await w.node("bob", "112")
        bob = await w.phone(there, "bob", 6100)
        await trio.sleep(1)
        outgoing = await alice.call(HELP)
        bob.refuse(await bob.invited(), 486)
        await refused_at_once(outgoing, 486)


async def test_a_call_that_another_node_sends_is_not_announced(autojump_clock: MockClock) -> None:
    async with world() as w:
        _a, b, alice, _bob = await two_nodes(w)
        node = await w.node("carol", "112", announcement=SPOKEN)
        w.shared["112@home.example"] = [node.directory.node_id]
        await refused_at_once(await alice.call(HELP), 480)
        assert not b.media.open_legs()
