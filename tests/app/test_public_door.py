"""The sockets of the public door: what `[domain]` opens, and where its files are looked for."""

from pathlib import Path
from typing import Any

import pytest

from p2psip.app.public_door import PublicDoor
from p2psip.app.settings import SettingsError, load_settings
from p2psip.base.core import Address
from p2psip.base.phone_certificates import issue_server, new_authority
from p2psip.calls.strangers import Strangers
from p2psip.net.clock import Clock
from p2psip.sip.connections import Door
from tests.calls.test_strangers import _Bare, _never

TEXT = """[domain]
name = "people.example"
hosts = ["127.0.0.1", "::1"]
tls_port = 5061
certificate = "door/certificate.pem"
key = "door/key.pem"
"""


class FakeSip:
    """Remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str, int]] = []
        self.doors: list[Door] = []
        self.distrusted: list[int] = []
        self.gate: Any = None
        self.on_malformed: Any = None

    async def listen_udp(self, host: str, port: int) -> Address:
        self.opened.append(("udp", host, port))
        return host, port

    def distrust(self, port: int) -> None:
        self.distrusted.append(port)

    async def listen_door(self, host: str, port: int, door: Door) -> Address:
        self.opened.append((door.transport, host, port))
        self.doors.append(door)
        return host, port


def public_door(home: Path, sip: FakeSip) -> PublicDoor:
    settings = load_settings(home).domain
    door = settings.door("home.example", ("alice@home.example",))
    assert door is not None
    strangers = Strangers(door, _Bare(), _never)  # type: ignore[arg-type]
    return PublicDoor(sip, settings, strangers, Clock())  # type: ignore[arg-type]


async def test_the_certificate_lies_in_the_folder_of_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (home / "door").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (home / "p2psip.toml").write_text(TEXT)
    with pytest.raises(SettingsError, match=r"\[domain\] certificate .*/home/door/certificate.pem and key"):
        await public_door(home, FakeSip()).open()
    clock = Clock()
    issued = issue_server(new_authority("x", clock.unix()), ["people.example"], [], clock.unix())
    (home / "door" / "certificate.pem").write_bytes(issued.certificate_pem)
    (home / "door" / "key.pem").write_bytes(issued.key_pem)
    sip = FakeSip()
    await public_door(home, sip).open()
    assert sip.opened == [
        (transport, host, port)
        for host in ("127.0.0.1", "::1")
        for transport, port in (("udp", 5062), ("tcp", 5062), ("tls", 5061))
    ]
    assert len({door.context for door in sip.doors if door.transport == "tls"}) == 1
    assert all(door.accepts is not None for door in sip.doors)
    assert set(sip.distrusted) == {5062}


async def test_a_closed_door_opens_nothing(tmp_path: Path) -> None:
    sip = FakeSip()
    door = PublicDoor(sip, load_settings(tmp_path).domain, None, Clock())  # type: ignore[arg-type]
    await door.open()
    assert (sip.opened, door.as_json()) == ([], None)
