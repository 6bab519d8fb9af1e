"""Real baresips dial 112 at a node that has no trunk for emergencies: they hear three tones and words, and are refused then."""

from pathlib import Path

import pytest
import trio

from media.announcement import LEAD_SECONDS, TONE_SECONDS, TONES_HERTZ
from media.g711 import SAMPLE_RATE
from media.tones import energy_share, tone
from media.wav import read_wav, write_wav
from p2psip.app.control import ask
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount
from p2psip.base.errors import RemoteError
from tests.interop.baresip import Baresip, baresip
from tests.interop.browser import browser
from tests.interop.conftest import ALICE_HERTZ, Town
from tests.interop.programs import free_port
from tests.interop.test_web_phone import PAGE

pytestmark = pytest.mark.interop

OWN_HERTZ = 600.0
HERTZ_APART_MAX = 12.0
FOR_HELP = """
async function callForHelp() {
  const connection = connect();
  await connection.setLocalDescription();
  await gathered(connection);
  const dialog = [["From", `<sip:${settings.address}>;tag=${word()}`], ["To", `<sip:${settings.target}>`], ["Call-ID", word()]];
  const asked = request("INVITE", `sip:${settings.target}`, [...dialog, contact()], connection.localDescription.sdp);
  const refused = asked.catch(error => error.message);
  const early = await next(message => message.start.startsWith("SIP/2.0 183"));
  await connection.setRemoteDescription({type: "answer", sdp: early.body});
  const context = new AudioContext(), analyser = context.createAnalyser();
  analyser.fftSize = 4096;
  analyser.smoothingTimeConstant = 0;
  context.createMediaStreamSource(connection.heard).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount), heard = [];
  for (let number = 0; number < 60; number += 1) {
    await pause(100);
    analyser.getFloatFrequencyData(bins);
    const best = bins.reduce((found, value, index) => (value > bins[found] ? index : found), 0);
    heard.push(best * context.sampleRate / analyser.fftSize);
  }
  await say("heard", heard);
  await say("heard", await refused);
  connection.close();
}
"""
WEB_PAGE = (
    PAGE.replace("async function main()", FOR_HELP + "async function main()")
    .replace("await callOut();", "await callForHelp();")
    .replace("await answerOne();", "")
)

PLAN = '[dial_plan]\ncountry = "DE"\n'
HEARD_SECONDS_MAX = 40.0
WINDOW_SAMPLES = 800
SHARE_MIN = 0.9
LOUD = 500.0**2
ENCRYPTIONS = ("", "srtp-mand", "dtls_srtp")
SAID = ["183 Session Progress", "RTP: announcement", "503 Service Unavailable"]


def tones_heard(samples: list[int]) -> list[tuple[float, float]]:
    """Where each of the three tones fills a window of 100 ms, as (seconds, hertz)."""
    found = []
    for start in range(0, len(samples) - WINDOW_SAMPLES, WINDOW_SAMPLES // 2):
        window = samples[start : start + WINDOW_SAMPLES]
        found += [(start / SAMPLE_RATE, hertz) for hertz in TONES_HERTZ if energy_share(window, hertz) > SHARE_MIN]
    return found


def loudness(samples: list[int]) -> float:
    """The mean square."""
    return sum(sample * sample for sample in samples) / max(len(samples), 1)


async def recording(phone: Baresip) -> list[int]:
    """What it has heard, once the file is whole."""
    with trio.fail_after(10):
        while True:
            try:
                return list(read_wav(phone.recordings("dec")[-1]))
            except (RemoteError, IndexError):
                await trio.sleep(0.1)


async def wait_registered(node: NodeProcess) -> None:
    """Until all phones are, so that nobody's call is over before another's begins."""
    with trio.fail_after(HEARD_SECONDS_MAX):
        while True:
            if len((await ask(node.home, "status"))["phones"]) == len(ENCRYPTIONS):
                return
            await trio.sleep(0.2)


async def hear(town: Town, encryption: str, account: PhoneAccount) -> None:
    """Dial 112 with a phone of its own; AssertionError unless it hears all that it should."""
    folder = town.folder / f"phone-{encryption or 'rtp'}"
    async with baresip(folder, account, town.speech("alice", ALICE_HERTZ), encryption=encryption) as phone:
        await wait_registered(town.alice)
        await phone.command("dial", "sip:112@home.example")
        await phone.wait_for("CALL_PROGRESS")
        assert "503" in (await phone.wait_for("CALL_CLOSED", HEARD_SECONDS_MAX))["param"]
        samples = await recording(phone)
    heard = tones_heard(samples)
    pitches = [hertz for _at, hertz in heard]
    in_order = [hertz for number, hertz in enumerate(pitches) if number == 0 or pitches[number - 1] != hertz]
    assert in_order == list(TONES_HERTZ) * 2, (encryption, heard)
    first, last = heard[0][0], next(at for at, hertz in heard if hertz == TONES_HERTZ[-1])
    assert first < LEAD_SECONDS + 1.0
    assert last - first < 3 * TONE_SECONDS + 0.5
    words = samples[round((last + 1.0) * SAMPLE_RATE) :][: 3 * SAMPLE_RATE]
    assert loudness(words) > LOUD
    assert all(energy_share(words, hertz) < 0.2 for hertz in (*TONES_HERTZ, ALICE_HERTZ))


@pytest.mark.parametrize("town", [PLAN], indirect=True)
async def test_who_dials_112_hears_tones_and_words_and_is_refused(town: Town) -> None:
    """Three phones at once: RTP, SRTP with keys in its description, DTLS-SRTP."""
    accounts = [town.alice_phone, *[await town.network.add_phone(town.alice) for _ in ENCRYPTIONS[1:]]]
    async with trio.open_nursery() as nursery:
        for encryption, account in zip(ENCRYPTIONS, accounts, strict=True):
            nursery.start_soon(hear, town, encryption, account)
    for number in range(1, len(ENCRYPTIONS) + 1):
        call = await ask(town.alice.home, "call", number=number)
        said = [step["summary"] for step in call["ladder"]]
        assert said[1:] == SAID, call
        assert (call["status"], "Use another telephone" in call["cause"]) == (503, True)


async def test_a_browser_hears_the_words_that_a_person_has_put_in_their_place(tmp_path: Path) -> None:
    network, ws_port = LocalNetwork(tmp_path), free_port()
    try:
        await network.start_bootstrap()
        home = await network.join("alice")
        (home / "p2psip.toml").write_text(f'[sip]\nws_port = {ws_port}\n[calls]\nannouncement = "own.wav"\n{PLAN}')
        write_wav(home / "own.wav", tone(OWN_HERTZ, 3.0))
        node = await network.up(home)
        made = await network.command(node.home, "phone", "add", "--algorithm", "SHA-256")
        settings = {"url": f"ws://127.0.0.1:{ws_port}/", "user": made["name"], "password": made["password"]}
        settings |= {"address": made["address"], "target": "112@home.example", "connection": {}}
        async with browser(tmp_path / "chromium", ALICE_HERTZ, page=WEB_PAGE) as page:
            await page.tell("settings", settings)
            heard: list[float] = await page.hear("heard")
            for hertz in (*TONES_HERTZ, OWN_HERTZ):
                assert any(abs(each - hertz) < HERTZ_APART_MAX for each in heard), heard
            assert "Use another telephone" in await page.hear("heard")
    finally:
        await network.close()
