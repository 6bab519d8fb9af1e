"""TLS under SIP on the real loopback, on virtual time: who is trusted, which names count, and what a wrong one is told."""

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2psip.base.errors import RemoteError
from p2psip.base.phone_certificates import issue_server, new_authority
from p2psip.net.clock import Clock
from p2psip.net.tls import listening_context
from p2psip.sip import connections
from p2psip.sip.connections import Door
from p2psip.sip.tls import trusting_context
from tests.sip.test_connections import WHOLE, Host, ends, host

UNIX = Clock().unix()  # OpenSSL asks the machine's clock whether a certificate is in force
NAME = "sip.provider.example"


@pytest.fixture
def trusting(tmp_path: Path) -> ssl.SSLContext:
    """Trusts the authority of `serving`."""
    serve(tmp_path, [NAME])
    return trusting_context(tmp_path / "ca.pem")


def serve(folder: Path, domains: Sequence[str], addresses: Sequence[str] = (), unix: float = UNIX) -> ssl.SSLContext:
    """What a server with these names shows; its authority is made once in a folder."""
    authority_file, key_file = folder / "ca.pem", folder / "ca.key"
    if not authority_file.exists():
        authority = new_authority("home.example", UNIX)
        authority_file.write_bytes(authority.certificate_pem)
        key_file.write_bytes(authority.key_pem)
    found = type(new_authority("x", UNIX)).from_pem(authority_file.read_bytes(), key_file.read_bytes())
    issued = issue_server(found, domains, addresses, unix)
    path = folder / "server.pem"
    path.write_bytes(issued.certificate_pem + issued.key_pem)
    return listening_context(path)


@asynccontextmanager
async def server(context: ssl.SSLContext) -> AsyncIterator[Host]:
    """A host that listens with TLS."""
    async with host() as there:
        there.address = await there.transport.listen("127.0.0.1", 0, Door("tls", context))
        yield there


async def test_a_message_passes_both_ways_and_the_flow_is_tls(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock
) -> None:
    async with server(serve(tmp_path, [NAME])) as there, host() as here:
        flow = await here.transport.connect(there.address, "tls", host=NAME.upper() + ".", context=trusting)
        assert (flow.transport, flow.reliable) == ("tls", True)
        assert here.transport.send(WHOLE, flow)
        await wait_all_tasks_blocked(0.01)
        ((data, arriving),) = there.messages
        assert (data, arriving.transport, arriving.remote) == (WHOLE, "tls", flow.local)
        assert there.transport.send(WHOLE, arriving)
        await wait_all_tasks_blocked(0.01)
        assert here.messages == [(WHOLE, flow)]


@pytest.mark.parametrize(
    ("domains", "addresses", "asked", "words"),
    [
        (["other.example"], [], NAME, "the certificate is one of other.example, not of sip.provider.example"),
        (["*.provider.example"], [], NAME, "SIP takes no wildcards"),
        ([NAME], [], "provider.example", "not of provider.example"),
        ([NAME], [], "", "not of 127.0.0.1"),
        ([NAME], ["127.0.0.2"], "127.0.0.1", "127.0.0.2, not of 127.0.0.1"),
    ],
)
async def test_a_wrong_name_is_503_with_words(
    domains: list[str],
    addresses: list[str],
    asked: str,
    words: str,
    tmp_path: Path,
    trusting: ssl.SSLContext,
    autojump_clock: MockClock,
) -> None:
    async with server(serve(tmp_path, domains, addresses)) as there, host() as here:
        with pytest.raises(RemoteError, match=words.replace(".", r"\.")) as caught:
            await here.transport.connect(there.address, "tls", host=asked, context=trusting)
        assert caught.value.status == 503
        await wait_all_tasks_blocked(0.01)
        assert (here.closed, there.messages) == ([], [])


async def test_an_address_may_stand_in_the_certificate(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock
) -> None:
    async with server(serve(tmp_path, ["x.example"], ["127.0.0.1"])) as there, host() as here:
        assert (await here.transport.connect(there.address, "tls", context=trusting)).remote == there.address


async def test_an_authority_that_we_do_not_trust_is_503_with_words(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock
) -> None:
    (other := tmp_path / "other").mkdir()
    async with server(serve(other, [NAME])) as there, host() as here:
        with pytest.raises(RemoteError, match="the certificate cannot be trusted: ") as caught:
            await here.transport.connect(there.address, "tls", host=NAME, context=trusting)
        assert caught.value.status == 503


async def test_a_phone_that_does_not_trust_us_is_told_of_once(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    (other := tmp_path / "other").mkdir()
    async with server(serve(other, [NAME])) as there:
        for _ in range(2):
            async with await trio.open_tcp_stream(*there.address) as stream:
                await refuse_certificate(stream, trusting)
                assert await ends(stream)
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING] == [
        "no connection for TLS from 127.0.0.1: TLS failed: tlsv1 alert unknown ca"
    ]


async def refuse_certificate(stream: trio.SocketStream, trusting: ssl.SSLContext) -> None:
    """A client's handshake that fails, up to its alert (which trio would not send)."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(received, sent, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLCertVerificationError):
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            await stream.send_all(sent.read())
            received.write(await stream.receive_some(10_000))
    await stream.send_all(sent.read())


async def test_a_certificate_that_has_run_out_is_503_with_words(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock
) -> None:
    async with server(serve(tmp_path, [NAME], unix=UNIX - 400 * 86_400)) as there, host() as here:
        with pytest.raises(RemoteError, match="certificate has expired"):
            await here.transport.connect(there.address, "tls", host=NAME, context=trusting)


async def test_a_connection_is_shared_by_those_who_ask_for_the_same_proof_only(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock
) -> None:
    async with server(serve(tmp_path, [NAME, "b.example"])) as there, host() as here:
        first = await here.transport.connect(there.address, "tls", host=NAME, context=trusting)
        assert await here.transport.connect(there.address, "tls", host=NAME, context=trusting) == first
        assert await here.transport.connect(there.address, "tls", host="b.example", context=trusting) != first
        with pytest.raises(RemoteError):
            await here.transport.connect(there.address, "tls", host="c.example", context=trusting)


async def test_a_server_that_says_nothing_is_given_up(trusting: ssl.SSLContext, autojump_clock: MockClock) -> None:
    async with host() as here:
        (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        began = trio.current_time()
        with pytest.raises(RemoteError, match="no TLS connection to 127"):
            await here.transport.connect(silent.socket.getsockname(), "tls", host=NAME, context=trusting)
        await silent.aclose()
        assert trio.current_time() - began <= connections.CONNECT_SECONDS_MAX


async def test_websockets_come_from_phones_only(autojump_clock: MockClock) -> None:
    async with host() as here:
        with pytest.raises(RemoteError, match="nobody can be called over ws") as caught:
            await here.transport.connect(here.address, "ws")
        assert caught.value.status == 503


# Who comes to the wrong port, or not at all


async def test_plain_sip_on_the_port_for_tls_is_told_once(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(serve(tmp_path, [NAME])) as there:
        for _ in range(3):
            async with await trio.open_tcp_stream(*there.address) as stream:
                await stream.send_all(WHOLE)
                assert await ends(stream)
    words = "no connection for TLS from 127.0.0.1: it speaks without TLS on the port for TLS"
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING] == [words]


async def test_tls_on_the_plain_port_is_told_once(
    trusting: ssl.SSLContext, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with host() as here, host() as there:
        for _ in range(3):
            with pytest.raises(RemoteError, match="TLS failed"):
                await here.transport.connect(there.address, "tls", host=NAME, context=trusting)
    words = "no connection for TCP from 127.0.0.1: it speaks TLS on the port for TCP, which has none"
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING] == [words]


@pytest.mark.parametrize("data", [b"\x16\x03\x01\xff\xff" + b"x" * 2_000, b"\x16", b"\x16\x03"])
async def test_garbage_on_the_port_for_tls_ends_within_its_time(
    data: bytes, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with server(serve(tmp_path, [NAME])) as there:
        async with await trio.open_tcp_stream(*there.address) as stream:
            await stream.send_all(data)
            with trio.fail_after(connections.HANDSHAKE_SECONDS_MAX + 1):
                while not await ends(stream):
                    pass
        async with await trio.open_tcp_stream(*there.address) as stream:
            assert await ends(stream)
            assert trio.current_time() <= 2 * connections.HANDSHAKE_SECONDS_MAX + 1


async def test_connections_that_have_not_finished_their_handshake_count(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_PER_HOST_MAX", 2)
    async with server(serve(tmp_path, [NAME])) as there:
        streams = [await trio.open_tcp_stream(*there.address) for _ in range(2)]
        await wait_all_tasks_blocked(0.01)
        async with await trio.open_tcp_stream(*there.address) as third:
            assert await ends(third)
        assert trio.current_time() < 1
        for stream in streams:
            await stream.aclose()
        await wait_all_tasks_blocked(0.01)
        assert not there.transport._accepted


async def test_an_end_of_tls_is_told_as_a_closed_flow(
    tmp_path: Path, trusting: ssl.SSLContext, autojump_clock: MockClock
) -> None:
    async with server(serve(tmp_path, [NAME])) as there, host() as here:
        flow = await here.transport.connect(there.address, "tls", host=NAME, context=trusting)
        assert here.transport.send(WHOLE, flow)
        await wait_all_tasks_blocked(0.01)
        here.transport._connections[flow].scope.cancel()
        await wait_all_tasks_blocked(0.01)
        assert [each for each, _when in there.closed] == [there.messages[0][1]]
        assert [each for each, _when in here.closed] == [flow]
