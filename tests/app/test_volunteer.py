"""What a super-node announces, what it says that it costs, and when it keeps back."""

import datetime
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from p2psip.app.settings import RelaySettings, SettingsError
from p2psip.app.volunteer import (
    LEAVE_SECONDS_MAX,
    QUIET_SECONDS,
    SuperNode,
    cost_in_words,
    is_on_battery,
    turn_settings,
)
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock
from p2psip.net.port import NodePort
from p2psip.net.streams import StreamLinks

OVERLAY = "home.example"


@pytest.fixture
async def port(nursery) -> NodePort:  # noqa: ANN001 - pytest-trio's own fixture
    """A port that is closed at the end."""
    bound = NodePort.bind(["127.0.0.1"], 0)
    await nursery.start(bound.run)
    return bound


def make(port: NodePort, home: Path, settings: RelaySettings) -> SuperNode:
    """A super-node on loopback."""
    links = StreamLinks(port)
    chance = Chance.seeded(1)
    return SuperNode(
        settings, port=port, links=links, clock=Clock(), chance=chance, node_key=bytes(32), overlay=OVERLAY, home=home
    )


def self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate of `key`."""
    name, now = x509.Name([]), datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def refuse(number: int) -> Callable[..., Awaitable[Any]]:
    """A `listen` that the operating system forbids."""

    async def listen(host: str, port: int, **_context: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise OSError(number, f"cannot use TCP {host} port {port}: {os.strerror(number)}")

    return listen


def supply(folder: Path, name: str, **values: str) -> None:
    (folder / name).mkdir(parents=True)
    for key, value in values.items():
        (folder / name / key).write_text(value + "\n")


async def test_the_announcement_names_where_it_listens_and_what_is_free(port: NodePort, tmp_path: Path) -> None:
    settings = RelaySettings(volunteer=True, allow_private_peers=True, allocations_max=7, tls_port=0)
    said = make(port, tmp_path, settings).volunteering().announcement()
    assert (said.addresses, said.capacity, said.draining) == ((("127.0.0.1", port.number),), 7, False)


async def test_others_see_it_elsewhere_than_it_is_bound(port: NodePort, tmp_path: Path) -> None:
    node = make(port, tmp_path, RelaySettings(external_hosts=("203.0.113.5",)))
    assert node.volunteering().announcement().addresses == (("203.0.113.5", port.number),)
    node.reachable_at([("198.51.100.7", 4000), ("100::1", 1)])
    assert ("198.51.100.7", 4000) in node.volunteering().announcement().addresses
    assert all(host != "100::1" for host, _ in node.volunteering().announcement().addresses)


async def test_who_drains_says_so(port: NodePort, tmp_path: Path) -> None:
    node = make(port, tmp_path, RelaySettings(allow_private_peers=True))
    node.drain()
    assert node.volunteering().announcement().draining
    assert node.is_draining


async def test_who_may_relay_hardly_more_this_month_drains(port: NodePort, tmp_path: Path) -> None:
    node = make(port, tmp_path, RelaySettings(allow_private_peers=True, gigabytes_per_month_max=0.001))
    assert node.turn is not None
    assert not node.volunteering().announcement().draining
    assert node.turn.charge(990_000)
    told = node.volunteering().announcement()
    assert (told.draining, told.capacity) == (True, 0)


@pytest.mark.parametrize("busy_seconds", [0.0, 2.0, 1_000.0])
async def test_who_ends_relays_until_those_told_have_moved_and_no_longer(
    port: NodePort,
    tmp_path: Path,
    busy_seconds: float,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = make(port, tmp_path, RelaySettings(allow_private_peers=True))
    assert node.turn is not None
    began = trio.current_time()
    monkeypatch.setattr(
        node.turn, "statistics", lambda: {"packets": int(50 * min(trio.current_time() - began, busy_seconds))}
    )
    await node.leave()
    assert node.is_draining
    limit = min(busy_seconds + 2 * QUIET_SECONDS, LEAVE_SECONDS_MAX)
    assert min(busy_seconds, LEAVE_SECONDS_MAX) <= trio.current_time() - began <= limit + 0.01


async def test_a_coturn_is_granted_with_its_own_secret(port: NodePort, tmp_path: Path) -> None:
    settings = RelaySettings(coturn_host="203.0.113.9", coturn_secret="s3cret", coturn_tls_port=443)
    node = make(port, tmp_path, settings)
    assert node.turn is None

    class Certificate:
        node_id = bytes(20)

    grant = node.volunteering().grants(Certificate(), 1_000.0)  # type: ignore[arg-type]
    assert grant.username == f"2800:{'00' * 20}"
    assert [(each.transport, each.address) for each in grant.servers] == [
        ("udp", ("203.0.113.9", 3_478)),
        ("tcp", ("203.0.113.9", 3_478)),
        ("tls", ("203.0.113.9", 443)),
    ]


async def test_what_the_overlay_passes_on_counts_for_the_month_too(port: NodePort, tmp_path: Path) -> None:
    node = make(port, tmp_path, RelaySettings(allow_private_peers=True, gigabytes_per_month_max=1))
    charge = node.volunteering().charge
    assert charge(900_000_000)
    assert not charge(200_000_000)
    assert charge(100_000_000)
    assert node.is_draining


def test_the_cost_is_said_in_words() -> None:
    words = cost_in_words(RelaySettings(megabits_max=3.5, gigabytes_per_month_max=12))
    assert "3.5 Mbit/s" in words
    assert "some 10 calls" in words
    assert "12 GB a month" in words


def test_the_settings_bound_the_server() -> None:
    settings = turn_settings(RelaySettings(megabits_max=8, megabits_per_user_max=1, gigabytes_per_month_max=2))
    assert (settings.bytes_per_second_max, settings.bytes_per_second_per_user_max) == (1e6, 125e3)
    assert settings.bytes_per_month_max == 2e9
    assert not settings.allows_private


def test_a_discharging_battery_counts_only_without_mains(tmp_path: Path) -> None:
    assert not is_on_battery(tmp_path / "missing")
    supply(tmp_path, "BAT0", type="Battery", status="Discharging")
    assert is_on_battery(tmp_path)
    supply(tmp_path, "AC", type="Mains", online="1")
    assert not is_on_battery(tmp_path)


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("missing.pem", "junk.pem", "missing.pem cannot be read .No such file"),
        ("junk.pem", "missing.pem", "missing.pem cannot be read .No such file"),
        (".", "junk.pem", "cannot be read .Is a directory"),
        ("junk.pem", "junk.pem", "must be PEM files"),
        ("good.pem", "locked.pem", "a key without a password"),
    ],
)
async def test_files_that_are_no_certificate_are_named(
    port: NodePort, tmp_path: Path, certificate: str, key: str, words: str
) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    private = ec.generate_private_key(ec.SECP256R1())
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.pem").write_bytes(locked)
    (tmp_path / "good.pem").write_bytes(self_signed(private))
    settings = RelaySettings(certificate=tmp_path / certificate, key=tmp_path / key, tls_port=0)
    with pytest.raises(SettingsError, match=words) as caught:
        await make(port, tmp_path, settings).run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "CAP_NET_BIND_SERVICE"), (errno.EADDRINUSE, "stop the program")]
)
async def test_a_port_that_cannot_be_had_is_said_once_with_the_way_out(
    port: NodePort,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    nursery: trio.Nursery,
    number: int,
    words: str,
) -> None:
    node = make(port, tmp_path, RelaySettings(allow_private_peers=True))
    monkeypatch.setattr(node._links, "listen", refuse(number))
    await nursery.start(node.run)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 2  # the port's own number, and 443
    assert all(words in line and "Errno" not in line for line in warned)


def test_no_more_is_promised_than_there_are_ports() -> None:
    assert turn_settings(RelaySettings(first_port=50_000, last_port=50_009)).allocations_max == 10
