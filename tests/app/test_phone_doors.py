"""Doors for phones: what the settings open, on which numbers, with which certificate, and what a person is told."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import ifaddr
import pytest
import trio
from trio.testing import MockClock

from p2psip.app.phone_doors import CERTIFICATE_LOOK_SECONDS, PhoneDoors, addresses_named
from p2psip.app.settings import SettingsError, SipSettings
from p2psip.base.core import Address
from p2psip.net.clock import Clock
from p2psip.sip.connections import Door


@dataclass
class FakeSip:
    """Remembers what was opened; `taken` are TCP ports that somebody else has."""

    taken: set[int] = field(default_factory=set)
    opened: list[tuple[str, str, int]] = field(default_factory=list)
    contexts: dict[int, ssl.SSLContext | None] = field(default_factory=dict)
    next_free: int = 40_000

    async def listen_udp(self, host: str, port: int) -> Address:
        self.next_free += 1
        self.opened.append(("udp", host, port or self.next_free))
        return host, port or self.next_free

    def close_udp(self, bound: Address) -> None:
        self.opened.remove(("udp", *bound))

    async def listen_door(self, host: str, port: int, door: Door) -> Address:
        if port in self.taken:
            raise OSError(98, f"cannot use TCP {host} port {port}: Address already in use")
        self.opened.append((door.transport, host, port))
        self.contexts[port] = door.context
        return host, port


def doors(sip: FakeSip, home: Path | None, **settings: object) -> PhoneDoors:
    chosen = SipSettings.model_validate(settings)
    return PhoneDoors(sip, chosen, overlay="home.example", home=home, clock=Clock())


async def test_udp_and_tcp_on_loopback_are_all_that_is_open_by_default() -> None:
    sip = FakeSip()
    found = doors(sip, None)
    assert await found.open() == ("127.0.0.1", 5060)
    assert sip.opened == [("udp", "127.0.0.1", 5060), ("tcp", "127.0.0.1", 5060)]
    assert found.in_words() == ["Phones register at 127.0.0.1:5060 (UDP or TCP), domain home.example"]
    await found.run()  # there is no certificate to look after


async def test_any_port_is_one_that_is_free_for_both() -> None:
    sip = FakeSip(taken={40_001, 40_002})
    assert await doors(sip, None, port=0).open() == ("127.0.0.1", 40_003)
    assert sip.opened == [("udp", "127.0.0.1", 40_003), ("tcp", "127.0.0.1", 40_003)]


async def test_a_port_that_is_taken_is_an_error() -> None:
    with pytest.raises(OSError, match="cannot use TCP 127"):
        await doors(FakeSip(taken={5060}), None).open()


async def test_everything_can_be_opened_on_two_hosts(tmp_path: Path) -> None:
    sip = FakeSip()
    ports = {"tls_port": 5061, "ws_port": 5080, "wss_port": 5081}
    found = doors(sip, tmp_path, more_hosts=["::1"], **ports)
    await found.open()
    numbers = [("udp", 5060), ("tcp", 5060), ("tls", 5061), ("ws", 5080), ("wss", 5081)]
    assert sip.opened == [(each, host, port) for host in ("127.0.0.1", "::1") for each, port in numbers]
    assert {port: context.num_tickets for port, context in sip.contexts.items() if context is not None} == {
        5061: 0,
        5081: 0,
    }
    assert found.in_words() == [
        "Phones register at 127.0.0.1:5060 (UDP or TCP), domain home.example",
        "Phones with encryption register at 127.0.0.1:5061 (TLS), domain home.example",
        "Phones in browsers register at ws://127.0.0.1:5080/, domain home.example",
        "Phones in browsers register at wss://127.0.0.1:5081/, domain home.example",
        "Phones register at [::1]:5060 (UDP or TCP), domain home.example",
        "Phones with encryption register at [::1]:5061 (TLS), domain home.example",
        "Phones in browsers register at ws://[::1]:5080/, domain home.example",
        "Phones in browsers register at wss://[::1]:5081/, domain home.example",
        f"Encryption needs a phone that trusts {tmp_path / 'phones-ca.pem'} (`p2psip phone ca`)",
    ]
    assert found.in_brief()[:3] == ["127.0.0.1:5060 (UDP, TCP)", "127.0.0.1:5061 (TLS)", "ws://127.0.0.1:5080/"]
    assert found.as_json()[2] == {"transport": "tls", "host": "127.0.0.1", "port": 5061}


async def test_a_given_certificate_is_used_and_no_authority_is_made(tmp_path: Path) -> None:
    (own := tmp_path / "own").mkdir()
    maker = doors(FakeSip(), own, tls_port=5061)
    await maker.open()
    file = str(own / "phones.pem")
    found = doors(FakeSip(), tmp_path, tls_port=5061, certificate=file, key=file)
    await found.open()
    assert len(found.in_words()) == 2
    assert not (tmp_path / "phones-ca.pem").exists()


@pytest.mark.parametrize(("text", "why"), [(None, "cannot be read"), ("garbage", "must be PEM files")])
async def test_a_certificate_that_is_none_is_told_with_its_file(text: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(
        SettingsError, match=r"\[sip\] certificate .*x\.pem and key .*x\.pem cannot be used: [^[]*" + why
    ):
        await doors(FakeSip(), tmp_path, wss_port=1, certificate=path, key=path).open()


async def test_tls_without_a_folder_is_told() -> None:
    with pytest.raises(SettingsError, match="need a folder"):
        await doors(FakeSip(), None, tls_port=5061).open()


async def test_a_certificate_that_goes_bad_is_renewed_and_listeners_take_it(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    sip = FakeSip()
    found = doors(sip, tmp_path, tls_port=5061)
    await found.open()
    file = tmp_path / "phones.pem"
    first = file.read_bytes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.run)
        await trio.sleep(CERTIFICATE_LOOK_SECONDS + 1)
        assert file.read_bytes() == first
        file.write_text("garbage")
        await trio.sleep(CERTIFICATE_LOOK_SECONDS)
        assert file.read_bytes() != first
        (tmp_path / "phones-ca.key").write_text("garbage")
        await trio.sleep(CERTIFICATE_LOOK_SECONDS)
        assert [each.levelname for each in caplog.records] == ["ERROR"]
        nursery.cancel_scope.cancel()


def test_everywhere_is_every_address_of_the_machine() -> None:
    assert addresses_named(("127.0.0.1", "::1")) == ["127.0.0.1", "::1"]
    everything = {str(each.ip) for adapter in ifaddr.get_adapters() for each in adapter.ips if each.is_IPv4}
    assert set(addresses_named(("0.0.0.0",))) <= everything
    assert "127.0.0.1" in addresses_named(("0.0.0.0",))
