"""The service on real loopback sockets and virtual time: exchanges, dialogs, lost connections, the overlay."""

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.core import Address
from p2psip.base.errors import LocalError, RemoteError
from p2psip.sip import service as service_module
from p2psip.sip import sockets
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.dialog_table import DIALOG_QUEUED_MAX
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.service import SipService
from tests.sip.loopback import CONTACT, LOCALHOST, ask, plain_socket, read_all, reply, service, settle, statuses
from tests.sip.playbook import make_outgoing, request_text

# Requests and responses


@pytest.mark.parametrize("method", ["OPTIONS", "BREW"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_request_is_answered(transport: str, method: str, autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        to = address if transport == "udp" else await callee.listen_tcp(LOCALHOST, 0)
        exchange = await ask(caller, to, method, transport)
        arriving = await callee.incoming.receive()
        assert (arriving.request.method, arriving.flow.transport, arriving.flow.local) == (method, transport, to)
        arriving.respond(reply(arriving, 405))
        response = await exchange.final_response()
        assert (response.status, response.headers.get("Server")) == (405, "p2psip")
        await trio.sleep(40)
        assert set(caller.statistics().values()) == set(callee.statistics().values()) == {0}


async def test_silence_is_408_after_the_whole_schedule(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        with plain_socket() as silent:
            exchange = await ask(sip, silent.getsockname())
            with pytest.raises(RemoteError) as caught:
                await exchange.final_response()
            assert (caught.value.status, trio.current_time()) == (408, 32.0)
            assert len(read_all(silent)) == 11


async def test_timers_are_served_on_time_whichever_was_set_first(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        times: list[tuple[bytes, float]] = []
        sip.on_message_trace = lambda data, _flow, _came: times.append((data.split()[0], trio.current_time()))
        with plain_socket() as silent:
            await ask(sip, silent.getsockname(), "REGISTER")
            await trio.sleep(2)
            await ask(sip, silent.getsockname(), "BYE")
            await trio.sleep(2)
        expected = [(b"REGISTER", when) for when in (0.0, 0.5, 1.5, 3.5)] + [(b"BYE", when) for when in (2.0, 2.5, 3.5)]
        assert sorted(times) == sorted(expected)


async def test_a_closed_socket_is_503_at_once(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        flow = await sip.connect("udp", (LOCALHOST, 9))
        sip.close_udp(bound)
        with pytest.raises(RemoteError) as caught:
            await sip.start(make_outgoing("OPTIONS"), flow).final_response()
        assert (caught.value.status, trio.current_time()) == (503, 0.0)


@pytest.mark.parametrize("remote", [("255.255.255.255", 5060), (LOCALHOST, 0), (LOCALHOST, 70_000)])
async def test_what_the_kernel_refuses_is_503_at_once(remote: Address, autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        exchange = sip.start(make_outgoing("OPTIONS"), Flow("udp", bound, remote))
        with pytest.raises(RemoteError) as caught:
            await exchange.final_response()
        assert (caught.value.status, trio.current_time()) == (503, 0.0)


async def test_an_ipv6_host_cannot_be_reached_from_an_ipv4_socket(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        with pytest.raises(LocalError):
            await sip.connect("udp", ("2001:db8::1", 5060))


async def test_garbage_is_counted_and_keepalives_are_not(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        with plain_socket() as stranger:
            for data in (b"\xff" * 1_500, b"INVITE", b"x", b"\r\n\r\n", b"\r\n", b"\0\0", b""):
                stranger.sendto(data, bound)
            await settle()
            assert sip.statistics()["malformed"] == 3
            assert read_all(stranger) == []
            stranger.sendto(request_text("OPTIONS"), bound)
            assert (await sip.incoming.receive()).request.method == "OPTIONS"


async def test_a_batch_larger_than_one_is_served_whole(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        with plain_socket() as phone:
            for number in range(3 * sockets.BATCH_DATAGRAMS_MAX):
                phone.sendto(request_text("OPTIONS", f"z9hG4bK{number}", call_id=str(number)), bound)
            await settle()
            assert sip.statistics()["transactions"] == 3 * sockets.BATCH_DATAGRAMS_MAX


async def test_every_message_is_traced_both_ways(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        seen: list[tuple[bytes, bool]] = []
        sip.on_message_trace = lambda data, _flow, came: seen.append((data.split()[0], came))
        with plain_socket() as phone:
            phone.sendto(request_text("OPTIONS"), bound)
            exchange = await sip.incoming.receive()
            exchange.respond(reply(exchange, 200))
        assert seen == [(b"OPTIONS", True), (b"SIP/2.0", False)]


async def test_one_request_more_than_may_wait_is_answered_503(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "INCOMING_QUEUED_MAX", 2)
    async with service() as (_, bound):
        with plain_socket() as phone:
            via = "SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK"
            for number in range(3):
                phone.sendto(request_text("OPTIONS", via=f"{via}{number}", call_id=str(number)), bound)
            await settle()
            (response,) = read_all(phone)
            assert isinstance(response, Response)
            assert (response.status, response.call_id, response.headers.get("Retry-After")) == (503, "2", "5")


# Calls


async def test_a_call_is_made_and_its_dialog_carries_requests_both_ways(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        exchange = await ask(caller, address, "INVITE")
        arriving = await callee.incoming.receive()
        response = reply(arriving, 200)
        theirs = Dialog.of_server(arriving.request, response, CONTACT)
        requests = callee.open_dialog(theirs.id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(arriving.accept, response)
            taken = await exchange.final_response()
            ours = Dialog.of_client(exchange.request, taken, CONTACT)
            exchange.acknowledge(taken, ours.acknowledge(1))
        assert trio.current_time() < 0.5
        bye = caller.start(ours.request("BYE"), exchange.flow)
        ending = await requests.receive()
        ending.respond(reply(ending, 200))
        assert (await bye.final_response()).status == 200


async def test_a_lost_ack_is_sent_again_for_the_repeated_2xx(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        exchange = await ask(caller, address, "INVITE")
        arriving = await callee.incoming.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(arriving.accept, reply(arriving, 200))
            taken = await exchange.final_response()
            ack = Dialog.of_client(exchange.request, taken, CONTACT).acknowledge(1)
            with plain_socket() as nowhere:  # the first ACK is lost on the way
                there, exchange.flow = exchange.flow, await caller.connect("udp", nowhere.getsockname())
                exchange.acknowledge(taken, ack)
            exchange.flow = there
        assert trio.current_time() == 0.5


async def test_a_call_without_ack_is_given_up_after_32_seconds(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        await ask(caller, address, "INVITE")
        arriving = await callee.incoming.receive()
        with pytest.raises(RemoteError) as caught:
            await arriving.accept(reply(arriving, 200))
        assert (caught.value.status, trio.current_time()) == (408, 32.0)


async def test_a_call_that_rings_is_cancelled(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        exchange = await ask(caller, address, "INVITE")
        arriving = await callee.incoming.receive()
        arriving.respond(reply(arriving, 180))
        assert (await exchange.next_response()).status == 180
        exchange.cancel()
        await arriving.cancelled.wait()
        arriving.respond(reply(arriving, 487))
        assert (await exchange.final_response()).status == 487
        await trio.sleep(40)
        assert set(callee.statistics().values()) == {0}


# Dialogs


def within(number: int, *, tag: str = "b", from_tag: str = "a", call_id: str = "one") -> bytes:
    return request_text(
        "INFO",
        via=f"SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{number}",
        number=str(number),
        to=f"<sip:bob@example.com>;tag={tag}",
        from_=f"<sip:alice@example.com>;tag={from_tag}",
        call_id=call_id,
    )


@pytest.mark.parametrize("wrong", ["tag", "from_tag", "call_id"])
async def test_a_request_of_no_dialog_is_answered_481(wrong: str, autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        requests = sip.open_dialog(("one", "b", "a"))
        with plain_socket() as phone:
            phone.sendto(within(1, **{wrong: "other"}), bound)
            assert await statuses(phone) == [481]
            phone.sendto(within(2), bound)
            assert (await requests.receive()).request.cseq.number == 2


async def test_a_dialog_that_is_closed_answers_481_to_what_waits_and_what_comes(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        sip.open_dialog(("one", "b", "a"))
        with plain_socket() as phone:
            phone.sendto(within(1), bound)
            phone.sendto(within(2), bound)
            assert await statuses(phone) == []
            sip.close_dialog(("one", "b", "a"))
            sip.close_dialog(("one", "b", "a"))
            assert await statuses(phone) == [481, 481]
            phone.sendto(within(3), bound)
            assert await statuses(phone) == [481]
            assert sip.statistics()["dialogs"] == 0


async def test_a_dialog_without_a_remote_tag_takes_requests_of_whoever_answers(autojump_clock: MockClock) -> None:
    async with service() as (sip, address):
        requests = sip.open_dialog(("one", "b", ""))
        with plain_socket() as peer:
            peer.sendto(within(1, from_tag="whoever"), address)
            with trio.fail_after(1):
                assert (await requests.receive()).request.from_.tag == "whoever"


async def test_a_dialog_whose_owner_has_gone_answers_503(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        sip.open_dialog(("one", "b", "a")).close()
        with plain_socket() as phone:
            phone.sendto(within(1), bound)
            assert await statuses(phone) == [503]
            sip.close_dialog(("one", "b", "a"))


async def test_one_request_more_than_may_wait_in_a_dialog_is_answered_503(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        sip.open_dialog(("one", "b", "a"))
        with plain_socket() as phone:
            for number in range(DIALOG_QUEUED_MAX + 1):
                phone.sendto(within(number), bound)
            assert await statuses(phone) == [503]


# Connections that are lost


async def test_a_lost_connection_fails_requests_with_503_and_is_told(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        (listener,) = await trio.open_tcp_listeners(0, host=LOCALHOST)
        async with listener:
            address = listener.socket.getsockname()
            lost: list[Flow] = []
            sip.on_flow_closed(lost.append)
            exchange = await ask(sip, address, "INVITE", "tcp")
            stream = await listener.accept()
            assert (await stream.receive_some(10)) == b"INVITE sip"
            await trio.sleep(5)
            await stream.aclose()
            with pytest.raises(RemoteError) as caught:
                await exchange.final_response()
            assert (caught.value.status, trio.current_time()) == (503, 5.0)
            assert lost == [exchange.flow]


async def test_after_a_lost_connection_the_next_request_dials_again(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        (listener,) = await trio.open_tcp_listeners(0, host=LOCALHOST)
        async with listener:
            address = listener.socket.getsockname()
            first = await ask(sip, address, transport="tcp")
            await (await listener.accept()).aclose()
            with pytest.raises(RemoteError):
                await first.final_response()
            second = await ask(sip, address, transport="tcp")
            async with await listener.accept() as stream:
                request = parse_message(await stream.receive_some(10_000))
                assert isinstance(request, Request)
                await stream.send_all(make_response(request, 200, to_tag="b").to_bytes())
                assert (await second.final_response()).status == 200
            assert first.flow.serial != second.flow.serial


async def test_a_request_over_a_connection_that_is_gone_fails_at_once(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound):
        gone = Flow("tcp", bound, (LOCALHOST, 5060), 99)
        with pytest.raises(RemoteError) as caught:
            await sip.start(make_outgoing("OPTIONS"), gone).final_response()
        assert (caught.value.status, trio.current_time()) == (503, 0.0)


async def test_an_answer_to_a_connection_that_is_gone_is_dropped(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        address = await sip.listen_tcp(LOCALHOST, 0)
        stream = await trio.open_tcp_stream(*address)
        await stream.send_all(request_text("OPTIONS"))
        exchange = await sip.incoming.receive()
        await stream.aclose()
        await settle()
        exchange.respond(reply(exchange, 200))
        assert sip.statistics()["transactions"] == 0


# The overlay


async def test_a_node_acknowledges_its_own_calls_only(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        sip.attach_overlay(lambda _node, _data: True)
        sip.receive_overlay("aa" * 20, request_text("INVITE"))
        exchange = await sip.incoming.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acknowledge_later, partial(sip.receive_overlay, "bb" * 20), 2.0)
            nursery.start_soon(acknowledge_later, partial(sip.receive_overlay, "aa" * 20), 5.0)
            await exchange.accept(reply(exchange, 200))
            assert trio.current_time() == 5.0


async def test_a_phone_may_acknowledge_over_another_connection_but_no_node_for_it(autojump_clock: MockClock) -> None:
    async with service() as (sip, bound), trio.open_nursery() as nursery:
        with plain_socket() as phone, plain_socket() as moved:
            phone.sendto(request_text("INVITE"), bound)
            exchange = await sip.incoming.receive()
            nursery.start_soon(acknowledge_later, partial(sip.receive_overlay, "bb" * 20), 2.0)
            nursery.start_soon(acknowledge_later, lambda ack: moved.sendto(ack, bound), 5.0)
            await exchange.accept(reply(exchange, 200))
            assert trio.current_time() == 5.0


async def acknowledge_later(send: Callable[[bytes], object], when: float) -> None:
    await trio.sleep_until(when)
    send(request_text("ACK", "z9hG4bKtwo"))


async def test_without_an_overlay_its_nodes_cannot_be_reached(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        with pytest.raises(RemoteError) as caught:
            await sip.start(make_outgoing("OPTIONS"), sip.overlay_flow("aa" * 20)).final_response()
        assert caught.value.status == 503


def carried_to(other: SipService, sender: str) -> Callable[[str, bytes], bool]:
    """An overlay that carries everything to `other`, as from the node `sender`."""

    def send(_node: str, data: bytes) -> bool:
        other.receive_overlay(sender, data)
        return True

    return send


async def test_an_overlay_that_cannot_tell_a_node_is_a_503_at_once(autojump_clock: MockClock) -> None:
    async with service() as (sip, _):
        sip.attach_overlay(lambda _node, _data: False)
        with pytest.raises(RemoteError) as caught:
            await sip.start(make_outgoing("MESSAGE"), sip.overlay_flow("aa" * 20)).final_response()
        assert caught.value.status == 503


async def test_nodes_reach_one_another_through_the_overlay(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, _):
        caller.attach_overlay(carried_to(callee, "aa" * 20))
        callee.attach_overlay(carried_to(caller, "bb" * 20))
        exchange = caller.start(make_outgoing("MESSAGE"), caller.overlay_flow("bb" * 20))
        arriving = await callee.incoming.receive()
        assert (arriving.flow.remote, str(arriving.flow)) == (("aa" * 20, 0), f"overlay:{'aa' * 20}")
        arriving.respond(reply(arriving, 200))
        assert (await exchange.final_response()).status == 200
