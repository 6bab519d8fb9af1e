"""A trunk at work on virtual time: registered, refreshed, refused, and over to the next server."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.trunks.line import ERROR_LETTERS_MAX, TrunkLine
from p2psip.trunks.servers import HOSTS_MAX
from p2psip.trunks.trunk import Trunk
from tests.calls.world import TrioClock
from tests.trunks.provider import Country, TrunkSip, country
from tests.trunks.values import trunk


async def _line(c: Country, *, seconds: float = 1.0, asked: Trunk | None = None) -> TrunkLine:
    sip = TrunkSip(c.world.network, ("127.0.1.1", 5060))
    await c.world.nursery.start(sip.run)
    found = TrunkLine(asked or trunk(), sip=sip, locator=c.locator, clock=TrioClock(), chance=Chance.seeded(b"line"))
    c.world.nursery.start_soon(found.run)
    await trio.sleep(seconds)
    return found


async def test_it_registers_with_its_password_and_refreshes(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        line = await _line(c)
        assert line.status()["state"] == "registered"
        assert line.status()["at"] == "udp:192.0.2.9:5060"
        assert provider.count("REGISTER") == 2
        await trio.sleep(3_000)
        assert line.is_usable
        refreshes = provider.count("REGISTER")
        assert 5 <= refreshes - 2 <= 16, "a nonce that is stale by then costs one more"
        await line.close()
        assert provider.seen[-1].expires == 0
        assert not line.is_usable


async def test_a_wrong_password_ends_with_words_and_not_with_a_loop(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with country() as c:
        provider = await c.provider()
        line = await _line(c, seconds=30.0, asked=trunk(password="wrong", health_seconds=0))
        assert provider.count("REGISTER") == 2
        assert 'the password of user "4930123" is refused in the realm "provider.example"' in line.last_error
        assert "wrong" not in str(line.status())
        assert [record.levelname for record in caplog.records if "trunk provider" in record.message] == ["WARNING"]


async def test_without_a_password_a_challenge_is_said_to_be_one(autojump_clock: MockClock) -> None:
    async with country() as c:
        await c.provider()
        line = await _line(c, asked=trunk(password=""))
        assert "no password" in line.last_error or "none is set" in line.last_error


async def test_an_endless_loop_of_stale_nonces_ends(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        numbers = iter(range(1_000))
        provider.refuse = lambda _request: (
            401,
            [("WWW-Authenticate", f'Digest realm="p", nonce="{next(numbers)}", stale=true, qop="auth"')],
        )
        line = await _line(c, seconds=30.0, asked=trunk(health_seconds=0))
        assert provider.count("REGISTER") == 5
        assert "again and again" in line.last_error


async def test_503_with_retry_after_is_kept_to(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.refuse = lambda _request: (503, [("Retry-After", "100")])
        line = await _line(c, seconds=99.0, asked=trunk(health_seconds=0))
        assert provider.count("REGISTER") == 1
        assert "503" in line.last_error
        provider.refuse = lambda _request: None
        await trio.sleep(20)
        assert line.is_usable
        assert not line.last_error


async def test_the_next_server_is_asked_and_stayed_with(autojump_clock: MockClock) -> None:
    async with country() as c:
        dead, second = await c.provider(number=8), await c.provider(number=9)
        c.world.network.dead.add(dead.sip)
        line = await _line(c, seconds=20.0)
        assert line.status()["at"] == "udp:192.0.2.9:5060"
        assert second.count("REGISTER") == 2
        assert [hop.address[0] for hop in await line.servers.hops()] == ["192.0.2.9", "192.0.2.8"]


async def test_a_server_that_says_503_is_passed_over(autojump_clock: MockClock) -> None:
    async with country() as c:
        first = await c.provider(number=8)
        first.refuse = lambda _request: (503, [])
        await c.provider(number=9)
        line = await _line(c)
        assert line.status()["at"] == "udp:192.0.2.9:5060"


async def test_a_server_that_dies_is_left_before_the_registration_runs_out(autojump_clock: MockClock) -> None:
    async with country() as c:
        first, second = await c.provider(number=8), await c.provider(number=9)
        line = await _line(c)
        assert line.status()["at"] == "udp:192.0.2.8:5060"
        c.world.network.dead.add(first.sip)
        await trio.sleep(60.0)
        assert line.status()["at"] == "udp:192.0.2.9:5060"
        assert second.count("REGISTER") >= 1


async def test_a_provider_that_takes_registrations_and_no_questions_is_well(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.refuse = lambda request: (0, []) if request.method == "OPTIONS" else None
        line = await _line(c, seconds=300.0)
        assert provider.count("OPTIONS") > 3
        assert provider.count("REGISTER") == 2
        assert line.is_usable
        assert line.status()["health"] == "registered; it does not answer OPTIONS"
        provider.refuse = lambda _request: (0, [])
        await trio.sleep(600.0)
        assert not line.is_usable


@pytest.mark.parametrize("contact", ["<<<", "<sip:x@y>;expires=" + "9" * 40, "*", '"', ";"])
async def test_nonsense_in_an_answer_ends_nothing(autojump_clock: MockClock, contact: str) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.refuse = lambda _request: (200, [("Contact", contact), ("Expires", "-1"), ("Retry-After", "x")])
        line = await _line(c, seconds=20.0, asked=trunk(health_seconds=0))
        assert line.status()["state"] in ("registered", "waiting to try again")
        provider.refuse = lambda _request: None
        await trio.sleep(2_000)
        assert line.is_usable


async def test_so_many_hosts_of_a_provider_are_remembered_and_no_more(autojump_clock: MockClock) -> None:
    async with country() as c:
        line = await _line(c)
        for number in range(HOSTS_MAX + 1):
            c.locator.servers["provider.example"] = [(f"192.0.2.{number}", 5060)]
            await line.servers.hops()
        flow = await line.flow((await line.servers.hops())[0])
        heard = [line.leads_here(Flow("udp", flow.local, (f"192.0.2.{n}", 5060))) for n in range(HOSTS_MAX + 1)]
        assert heard == [False] + [True] * HOSTS_MAX


async def test_nobody_answers_and_then_somebody_does(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        c.world.network.dead.add(provider.sip)
        line = await _line(c, seconds=60.0)
        assert "does not answer" in line.last_error
        assert not line.health.is_up
        assert line.status()["health"].startswith("down: ")
        c.world.network.dead.clear()
        await trio.sleep(120.0)
        assert line.is_usable


async def test_no_server_is_found(autojump_clock: MockClock) -> None:
    async with country() as c:
        c.locator.error = RemoteError("no server for provider.example: no such name", status=404)
        line = await _line(c)
        assert line.last_error == "no server for provider.example: no such name"
        assert not line.is_usable


async def test_the_address_that_the_provider_sees_goes_into_contact(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        line = await _line(c, asked=trunk(public_address="203.0.113.7"))
        assert (
            provider.seen[0].headers.get(
                "Contact",
            )
            == "<sip:4930123@203.0.113.7:5090>;expires=600"
        )
        flow = await line.flow((await line.servers.hops())[0])
        assert line.announced_host(flow) == "203.0.113.7"


async def test_a_provider_that_refuses_private_addresses_gets_the_learnt_one(autojump_clock: MockClock) -> None:
    """The provider sees us through a NAT, and takes neither Contact nor Via of the inside."""
    async with country() as c:
        provider = await c.provider()
        provider.asks = False
        inside, outside = ("127.0.1.1", 5090), ("203.0.113.5", 40_000)
        c.world.network.translate(inside, outside)

        def refuse(request: Request) -> tuple[int, list[tuple[str, str]]] | None:
            is_private = any("127.0.1.1" in value for value in request.headers.all("Contact"))
            return (403, []) if is_private or request.top_via.host == "127.0.1.1" else None

        provider.refuse = refuse
        line = await _line(c)
        assert line.status()["state"] == "registered"
        assert [request.top_via.host for request in provider.seen] == ["127.0.1.1", "203.0.113.5"]
        assert "<sip:4930123@203.0.113.5:40000>;expires=600" in provider.seen[1].headers.all("Contact")
        assert line.announced_host(await line.flow((await line.servers.hops())[0])) == "203.0.113.5"


async def test_a_connection_that_ends_is_registered_anew(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        line = await _line(c)
        flow = await line.flow((await line.servers.hops())[0])
        line._flows.add(flow)
        before = provider.count("REGISTER")
        line.flow_closed(flow)
        await trio.sleep(1.0)
        assert provider.count("REGISTER") == before + 1


async def test_a_static_trunk_only_asks_whether_somebody_is_there(autojump_clock: MockClock) -> None:
    async with country() as c:
        provider = await c.provider()
        line = await _line(c, seconds=100.0, asked=trunk(registers=False))
        assert provider.count("REGISTER") == 0
        assert provider.count("OPTIONS") >= 3
        assert line.status()["state"] == "static"
        assert line.is_usable


async def test_words_of_a_provider_are_shown_without_control_characters_and_in_short(autojump_clock: MockClock) -> None:
    async with country() as c:
        line = await _line(c)
        line.note_error("\x1b[31mred" + "x" * ERROR_LETTERS_MAX)
        assert line.last_error.startswith("?[31mred")
        assert len(line.last_error) == ERROR_LETTERS_MAX
