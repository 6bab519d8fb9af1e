"""The bootstrap server over real HTTPS on loopback, asked by our client and by hostile ones."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from bootstrap import client, web
from bootstrap.authority import Authority
from bootstrap.client import enrol, fetch_configuration, fetch_introducers, renew
from bootstrap.guesses import FAILURES_FREE
from bootstrap.invite import Invite
from bootstrap.messages import INTRODUCERS_MAX, REQUEST_BYTES_MAX, Enrolment, EnrolRequest, Introducer, encode_enrol
from bootstrap.service import BootstrapServer, create_overlay, open_overlay
from bootstrap.tls import pinned_context, untrusting_context
from p2psip.base.certificates import certificate_request, verify_device
from p2psip.base.chance import Chance
from p2psip.base.configuration import verify_configuration
from p2psip.base.errors import LocalError, RemoteError
from p2psip.base.keys import NodeKey, SigningKey
from p2psip.net.clock import Clock

DAY = 86_400.0
PASSWORD = "correct horse"


@dataclass
class World:
    """A running server, and dice."""

    authority: Authority
    server: BootstrapServer
    chance: Chance
    clock: Clock = field(default_factory=Clock)

    def invite(self, *, token: bool = True, name: str | None = None) -> Invite:
        return self.authority.make_invite(
            self.server.local[:1], unix=self.clock.unix(), lifetime_seconds=DAY if token else None, name=name
        )

    def device(self) -> tuple[SigningKey, NodeKey]:
        return SigningKey.generate(self.chance), NodeKey.generate(self.chance)

    async def enrol(
        self, invite: Invite, name: str, password: str | None = None, device: tuple[SigningKey, NodeKey] | None = None
    ) -> Enrolment:
        signing, node = device or self.device()
        unix = self.clock.unix()
        return await enrol(
            invite, name=name, password=password, signing=signing, node=node, unix=unix, chance=self.chance
        )

    def browser(self) -> httpx.AsyncClient:
        url = f"https://127.0.0.1:{self.server.port}"
        return httpx.AsyncClient(verify=untrusting_context(), trust_env=False, base_url=url, timeout=10)

    def body(self, **changes: Any) -> bytes:
        request = certificate_request(*self.device())
        wish = EnrolRequest("alice", request, int(self.clock.unix()), self.chance.bytes(16))
        return encode_enrol(replace(wish, **changes))


@asynccontextmanager
async def running(
    folder: Path, introducers: Sequence[Introducer] = (), hosts: Sequence[str] = ("127.0.0.1",), ahead: float = 0.0
) -> AsyncIterator[World]:
    chance, clock = Chance.system(), Clock()
    clock.correct(ahead)
    authority = create_overlay(folder / "bootstrap.sqlite", "home.example", unix=clock.unix(), chance=chance)
    server = BootstrapServer(authority, hosts, 0, clock=clock, chance=chance, introducers=lambda: introducers)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield World(authority, server, chance, clock)
        nursery.cancel_scope.cancel()


async def test_a_newcomer_is_enrolled_by_a_token(tmp_path: Path) -> None:
    peers = [Introducer(bytes([number]) * 32, (("127.0.0.1", 4000 + number),)) for number in range(INTRODUCERS_MAX + 1)]
    async with running(tmp_path, peers) as world:
        invite = world.invite()
        assert Invite.parse(str(invite)) == invite
        got = await world.enrol(invite, "Alice")
        certificate = verify_device(got.certificate_der, got.ca_der, world.clock.unix())
        assert certificate.addresses == ("alice@home.example", "1001@home.example")
        assert verify_configuration(got.configuration, got.ca_der).sequence == 1
        assert got.introducers == tuple(peers[:INTRODUCERS_MAX])


async def test_renewal_introducers_and_configuration(tmp_path: Path) -> None:
    peer = Introducer(bytes(32), (("::1", 4500),))
    async with running(tmp_path, [peer], hosts=("::1", "127.0.0.1")) as world:
        assert world.server.local == (("::1", world.server.port), ("127.0.0.1", world.server.port))
        device, invite = world.device(), world.invite()
        held = await world.enrol(invite, "alice", device=device)
        proof = {"certificate_der": held.certificate_der, "ca_der": held.ca_der, "signing": device[0]}
        again = await renew(invite, **proof, unix=world.clock.unix(), chance=world.chance)  # type: ignore[arg-type]
        assert again == held
        met = await fetch_introducers(invite, **proof, unix=world.clock.unix(), chance=world.chance)  # type: ignore[arg-type]
        assert met.introducers == (peer,)
        world.authority.revoke("alice", unix=world.clock.unix())
        newer = verify_configuration(await fetch_configuration(invite, unix=world.clock.unix()), held.ca_der)
        assert (newer.sequence, len(newer.revoked_serials)) == (2, 1)
        with pytest.raises(RemoteError, match="shut out") as error:
            await renew(invite, **proof, unix=world.clock.unix(), chance=world.chance)  # type: ignore[arg-type]
        assert error.value.status == 403


async def test_refusals_reach_the_client_in_words(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.enrol(world.invite(), "alice", PASSWORD)
        await world.enrol(world.invite(token=False), "alice", PASSWORD)
        for invite, password, status, words in (
            (world.invite(), None, 409, "is taken"),
            (world.invite(token=False), None, 400, "--password"),
            (replace(world.invite(), token="x" * 26), None, 403, "token is unknown"),
            (world.invite(token=False), "wrong horse", 403, "wrong name or password"),
        ):
            with pytest.raises(RemoteError, match=words) as error:
                await world.enrol(invite, "alice", password)
            assert error.value.status == status


async def test_another_authority_is_never_given_a_secret(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as world, running(tmp_path / "two") as impostor:
        wrong = replace(world.invite(), bootstraps=impostor.server.local)
        with pytest.raises(RemoteError, match="another authority") as error:
            await world.enrol(wrong, "alice")
        assert error.value.status == 403
        both = replace(wrong, bootstraps=impostor.server.local + world.server.local)
        await world.enrol(both, "alice")
        with pytest.raises(RemoteError, match="invite is for other"):
            await world.enrol(replace(world.invite(), overlay="other.example"), "bob")


async def test_the_right_authority_certificate_shown_by_an_impostor_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "one") as world, running(tmp_path / "two") as impostor:
        monkeypatch.setattr(impostor.authority, "ca_der", world.authority.ca_der)
        with pytest.raises(RemoteError, match="certificate verify failed"):
            await world.enrol(replace(world.invite(), bootstraps=impostor.server.local), "alice")
        assert impostor.authority.accounts() == []


async def test_dead_addresses_are_passed_over_and_named(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        with trio.socket.socket() as taken:
            await taken.bind(("127.0.0.1", 0))
            dead = taken.getsockname()
            invite = world.invite()
            await world.enrol(replace(invite, bootstraps=(dead, *invite.bootstraps)), "alice")
            with pytest.raises(RemoteError, match=f"at 127.0.0.1:{dead[1]} cannot be reached") as error:
                await world.enrol(replace(invite, bootstraps=(dead,)), "bob")
            assert error.value.status == 503


async def test_what_is_no_bootstrap_server_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS_MAX", 0.5)

    async def babble(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2p1\r\n")

    async with running(tmp_path) as world, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, babble, listeners)
        with pytest.raises(RemoteError, match="cannot be reached"):
            await world.enrol(replace(world.invite(), bootstraps=(listeners[0].socket.getsockname(),)), "alice")
        nursery.cancel_scope.cancel()


async def test_every_error_is_a_problem_document(tmp_path: Path) -> None:
    async with running(tmp_path) as world, world.browser() as browser:
        good = world.body(token=world.invite().token)
        assert (await browser.post("/v1/enrol", content=good)).status_code == 200
        for method, path, body, status in (
            ("POST", "/v1/enrol", good, 409),
            ("POST", "/v1/enrol", b"garbage", 400),
            ("POST", "/v1/enrol", b"{}", 400),
            ("POST", "/v1/renew", b"[]", 400),
            ("POST", "/v1/introduce", b"", 400),
            ("POST", "/v1/enrol", world.body(timestamp=5, token="x" * 26), 400),
            ("POST", "/v1/enrol", world.body(certificate_request=b"x", token="x" * 26), 400),
            ("POST", "/v1/enrol", world.body(token="x" * 26), 403),
            ("GET", "/v1/enrol", None, 405),
            ("GET", "/nowhere", None, 404),
        ):
            answer = await browser.request(method, path, content=body)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["status"] == status
            assert len(answer.json()["detail"]) > 10
        health = await browser.get("/v1/health")
        assert health.json() == {"status": "ok", "overlay": "home.example", "sequence": 1}


async def test_oversized_bodies_are_refused(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(REQUEST_BYTES_MAX // 1000 + 2):
            yield b" " * 1000

    async with running(tmp_path) as world:
        for content in (b" " * (REQUEST_BYTES_MAX + 1), endless()):
            async with world.browser() as browser:
                answer = await browser.post("/v1/enrol", content=content)
                assert answer.status_code == 413
                assert "send a smaller one" in answer.json()["detail"]
        async with world.browser() as browser:
            assert (await browser.post("/v1/enrol", content=b" " * REQUEST_BYTES_MAX)).status_code == 400


async def test_guessing_is_answered_with_429_and_when_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path) as world, world.browser() as browser:
        statuses = []
        for _ in range(FAILURES_FREE + 1):
            answer = await browser.post("/v1/enrol", content=world.body(password="wrong horse"))
            statuses.append(answer.status_code)
        assert statuses == [403] * FAILURES_FREE + [429]
        assert answer.headers["retry-after"] == "1"
        assert "wait 1 s" in answer.json()["detail"]


async def test_garbage_on_the_tls_port_disturbs_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for data in (b"", b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", world.chance.bytes(5_000), b"\x16\x03\x01\xff\xff"):
            for _ in range(10):
                stream = await trio.open_tcp_stream("127.0.0.1", world.server.port)
                if data:
                    await stream.send_all(data)
                await stream.aclose()
        context = untrusting_context()
        for data in (b"\0" * 100, world.chance.bytes(5_000), b"POST /v1/enrol HTTP/1.1\r\ncontent-length: 10\r\n\r\nx"):
            tcp = await trio.open_tcp_stream("127.0.0.1", world.server.port)
            secure = trio.SSLStream(tcp, context, server_hostname="home.example", https_compatible=True)
            await secure.send_all(data)
            await secure.aclose()
        await world.enrol(world.invite(), "alice")


async def test_more_requests_than_may_wait_are_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WAITING_MAX", 0)
    async with running(tmp_path) as world, world.browser() as browser:
        answer = await browser.get("/v1/configuration")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "busy" in answer.json()["detail"]


async def test_a_slow_body_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_SECONDS_MAX", 0.05)
    async with running(tmp_path) as world:
        tcp = await trio.open_tcp_stream("127.0.0.1", world.server.port)
        secure = trio.SSLStream(tcp, untrusting_context(), server_hostname="home.example", https_compatible=True)
        await secure.send_all(b"POST /v1/enrol HTTP/1.1\r\nhost: home.example\r\ncontent-length: 10\r\n\r\n{")
        with trio.fail_after(5):
            assert (await secure.receive_some()).startswith(b"HTTP/1.1 408")
        await trio.aclose_forcefully(secure)


async def test_the_server_certificate_is_of_the_authority_and_for_the_overlay_only(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        context = pinned_context(world.authority.ca_der)
        for name, error in (("home.example", None), ("other.example", ssl.SSLCertVerificationError)):
            tcp = await trio.open_tcp_stream("127.0.0.1", world.server.port)
            secure = trio.SSLStream(tcp, context, server_hostname=name)
            if error is None:
                await secure.do_handshake()
            else:
                with pytest.raises(trio.BrokenResourceError) as raised:
                    await secure.do_handshake()
                assert isinstance(raised.value.__cause__, error)
            await trio.aclose_forcefully(secure)


def test_a_taken_port_is_said_plainly(tmp_path: Path) -> None:
    clock, chance = Clock(), Chance.system()
    path = tmp_path / "x.sqlite"
    authority = create_overlay(path, "home.example", unix=clock.unix(), chance=chance)
    server = BootstrapServer(authority, "127.0.0.1", 0, clock=clock, chance=chance)
    with pytest.raises(OSError, match=f"cannot use TCP 127.0.0.1 port {server.port}"):
        BootstrapServer(authority, ["127.0.0.1"], server.port, clock=clock, chance=chance)
    server.close()
    assert open_overlay(path, chance=chance).ca_der == authority.ca_der
    with pytest.raises(LocalError, match="an overlay already"):
        create_overlay(path, "home.example", unix=clock.unix(), chance=chance)
    with pytest.raises(LocalError, match="there is no overlay at"):
        open_overlay(tmp_path / "other.sqlite", chance=chance)
