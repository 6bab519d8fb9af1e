"""The peer of the RTP benchmark: rtpengine in user space, driven over its NG protocol (bencode over UDP)."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.rtp_load import claim_core
from p2psip.base.core import Address

PROGRAM = shutil.which("rtpengine")
NG_PORT = 22_222
PORTS = (30_000, 39_998)
START_SECONDS_MAX = 5.0
CIPHERS_BUT_GCM = [
    "AEAD_AES_256_GCM",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_32",
    "AES_192_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_32",
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "F8_128_HMAC_SHA1_80",
    "F8_128_HMAC_SHA1_32",
    "NULL_HMAC_SHA1_80",
    "NULL_HMAC_SHA1_32",
]


class Rtpengine:
    """A running rtpengine."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._control.settimeout(1.0)
        self._control.connect(("127.0.0.1", NG_PORT))
        self._calls = 0

    def cpu_seconds(self) -> float:
        """CPU time since its start, user and system."""
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self, caller: Address, callee: Address) -> tuple[Address, Address]:
        """Two calls in a row, RTP to SRTP and SRTP to RTP, as two nodes would; where each phone must send to."""
        self._calls += 1
        first, second = f"first-{self._calls}", f"second-{self._calls}"
        secure = {"transport-protocol": "RTP/SAVP", "SDES": [f"no-{name}" for name in CIPHERS_BUT_GCM]}
        offer = self._ask("offer", first, {"from-tag": "a", "sdp": _plain(caller), **secure})["sdp"]
        onward = self._ask("offer", second, {"from-tag": "a", "sdp": offer, "transport-protocol": "RTP/AVP"})["sdp"]
        answer = self._ask("answer", second, {"from-tag": "a", "to-tag": "b", "sdp": _plain(callee), **secure})["sdp"]
        back = self._ask("answer", first, {"from-tag": "a", "to-tag": "b", "sdp": answer})["sdp"]
        return _address(back), _address(onward)

    def close(self) -> None:
        """Stop it."""
        self._control.close()
        self._process.terminate()
        self._process.wait(5)

    def ping(self) -> bool:
        """Whether it answers yet."""
        try:
            return bool(self._ask("ping", "", {})["result"] == "pong")
        except OSError:
            return False

    def _ask(self, command: str, call: str, more: dict[str, Any]) -> dict[str, Any]:
        cookie = f"{command}-{call}-{time.monotonic_ns()}".encode()
        question = {"command": command, **({"call-id": call} if call else {}), "ICE": "remove", "DTLS": "off", **more}
        self._control.send(cookie + b" " + bencode(question if call else {"command": command}))
        while True:
            seen, _, body = self._control.recv(65_536).partition(b" ")
            if seen == cookie:
                break
        answer: dict[str, Any] = _decode(body, 0)[0]
        if answer["result"] == "error":
            raise RuntimeError(f"rtpengine refuses {command}: {answer['error-reason']}")
        return answer


def version() -> str:
    """Its name and version."""
    assert PROGRAM is not None
    run = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    return "rtpengine " + (run.stdout + run.stderr).replace("Version:", "").split("-")[0].strip()


@contextmanager
def run_rtpengine(core: int) -> Iterator[Rtpengine]:
    """rtpengine on one core."""
    assert PROGRAM is not None
    options = ["--config-file=none", "--table=-1", "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{NG_PORT}"]
    options += ["--foreground", "--log-stderr", "--log-level=1", "--num-threads=1", "--no-fallback"]
    options += [f"--port-min={PORTS[0]}", f"--port-max={PORTS[1]}"]
    process = subprocess.Popen([PROGRAM, *options], stderr=subprocess.DEVNULL, preexec_fn=lambda: claim_core(core))
    engine = Rtpengine(process)
    try:
        until = time.monotonic() + START_SECONDS_MAX
        while not engine.ping():
            if time.monotonic() > until:
                raise RuntimeError("rtpengine does not answer")
            time.sleep(0.05)
        yield engine
    finally:
        engine.close()


def bencode(value: Any) -> bytes:
    """Bencode of str, int, list and dict."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            data = value.encode()
            return b"%d:%s" % (len(data), data)
        case dict():
            return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
        case _ if isinstance(value, Sequence):
            return b"l" + b"".join(map(bencode, value)) + b"e"
    raise TypeError(type(value))


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    match data[at : at + 1]:
        case b"i":
            end = data.index(b"e", at)
            return int(data[at + 1 : end]), end + 1
        case b"l" | b"d" as kind:
            at, found = at + 1, []
            while data[at : at + 1] != b"e":
                value, at = _decode(data, at)
                found.append(value)
            return (found if kind == b"l" else dict(zip(found[::2], found[1::2], strict=True))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode(), end


def _plain(address: Address) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {address[0]}\r\ns=-\r\nc=IN IP4 {address[0]}\r\nt=0 0\r\n"
        f"m=audio {address[1]} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )


def _address(sdp: str) -> Address:
    port = next(int(line.split()[1]) for line in sdp.splitlines() if line.startswith("m=audio"))
    return "127.0.0.1", port
