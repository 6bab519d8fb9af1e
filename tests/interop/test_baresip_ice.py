"""Our ICE agent, DTLS and SRTP against those of baresip (libre), in two namespaces: baresip has no candidates on loopback."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from media.tones import energy_share, tone
from media.wav import read_wav, write_wav
from p2psip.base.grants import make_grant
from tests.interop.baresip import MODULE_FOLDERS
from tests.interop.ice_peer import MEDIA_PORT, REALM, TURN_PORT
from tests.interop.programs import program
from tests.nat.namespaces import Namespace, make_namespaces, random_prefix, remove_namespaces, root_ip

pytestmark = pytest.mark.interop

OURS, THEIRS, SIP_PORT = "10.77.0.1", "10.77.0.2", 5070
OURS_HERTZ, THEIRS_HERTZ = 440.0, 700.0
SHARE_NEEDED = 0.95
SECRET, RELAYED_PACKETS = "a-secret", 200
SECONDS_MAX = 40.0
MODULES = ("g711", "aubridge", "aufile", "sndfile", "uuid", "stun", "turn", "ice", "srtp", "dtls_srtp")
APPLICATIONS = ("account", "menu")  # after the modules whose names an account may say


@pytest.fixture
def link() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces with a cable between them."""
    prefix = random_prefix()
    names = (f"{prefix}us", f"{prefix}them")
    namespaces = make_namespaces(names)
    try:
        root_ip([f"link add cable netns {names[0]} type veth peer name cable netns {names[1]}"])
        for name, host in zip(names, (OURS, THEIRS), strict=True):
            namespaces[name].ip([f"addr add {host}/24 dev cable", "link set cable up"])
        yield namespaces[names[0]], namespaces[names[1]]
    finally:
        remove_namespaces(names)


@contextmanager
def baresip_with_ice(where: Namespace, folder: Path, *options: str) -> Iterator[None]:
    """A baresip that answers by itself and speaks THEIRS_HERTZ; `options` of its account."""
    write_wav(folder / "speech.wav", tone(THEIRS_HERTZ, 60.0))
    modules = next(path for path in MODULE_FOLDERS if Path(path).is_dir())
    lines = [
        "poll_method epoll",
        f"net_interface {THEIRS}",
        f"sip_listen {THEIRS}:{SIP_PORT}",
        f"audio_source aufile,{folder}/speech.wav",
        "audio_player aubridge,player",
        "audio_alert aubridge,alert",
        f"snd_path {folder}",
        "rtcp_mux yes",
        f"module_path {modules}",
        *(f"module {name}.so" for name in MODULES),
        *(f"module_app {name}.so" for name in APPLICATIONS),
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
    usual = ("regint=0", "answermode=auto", "medianat=ice", "mediaenc=dtls_srtp", "audio_codecs=PCMU")
    (folder / "accounts").write_text(f"<sip:phone@{THEIRS}>;{';'.join([*usual, *options])}\n")
    (folder / "contacts").write_text("")
    command = [*where.prefix, program("baresip"), "-f", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while b"baresip is ready" not in (folder / "log").read_bytes():
            assert time.monotonic() < deadline, (folder / "log").read_text(errors="replace")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS_MAX)


def call(us: Namespace, folder: Path, *secret: str) -> dict[str, Any]:
    """Call baresip, and prove audio both ways."""
    words = [OURS, THEIRS, str(SIP_PORT), str(OURS_HERTZ), str(THEIRS_HERTZ), *secret]
    command = [*us.prefix, sys.executable, "-m", "tests.interop.ice_peer", *words]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    (recording,) = folder.glob("dump-*-dec.wav")
    heard = read_wav(recording)
    assert report["share"] >= SHARE_NEEDED
    assert energy_share(heard[-16_000:-8_000], OURS_HERTZ) >= SHARE_NEEDED
    return report


def test_audio_passes_both_ways(link: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    us, them = link
    with baresip_with_ice(them, tmp_path):
        assert call(us, tmp_path)["relayed"] == 0


def test_our_super_node_relays_for_baresip(link: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    us, them = link
    grant = make_grant(SECRET.encode(), "baresip", REALM, time.time(), 600, ())
    us.nft(
        f"table ip direct {{ chain no {{ type filter hook input priority 0; ip saddr {THEIRS} udp dport {MEDIA_PORT} drop; }}; }}"
    )
    server = f'stunserver="turn:{OURS}:{TURN_PORT}"'
    with baresip_with_ice(them, tmp_path, server, f'stunuser="{grant.username}"', f'stunpass="{grant.password}"'):
        assert call(us, tmp_path, SECRET)["relayed"] > RELAYED_PACKETS
