"""REGISTER as a phone sees it (RFC 3261 §10), and what the overlay gets to know of it."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.calls import server as server_module
from p2psip.calls.registrar import CONTACTS_PER_REQUEST_MAX
from p2psip.sip.flow import Flow
from p2psip.sip.message import Response
from tests.calls.world import Phone, World, world


def contacts(response: Response) -> list[str]:
    """The URIs that a registrar lists."""
    return [str(contact.uri) for contact in response.contacts]


async def one_phone(w: World) -> Phone:
    """A phone with an account, not registered yet."""
    return await w.phone(await w.node("alice", "1001"), "alice", 6000, registered=False)


async def test_a_phone_registers_refreshes_queries_and_leaves(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        first = await phone.ask(phone.registration("<sip:alice@127.0.0.1:6000>", expires=120))
        assert first.status == 200
        assert contacts(first) == ["sip:alice@127.0.0.1:6000"]
        assert first.contacts[0].parameter("expires") == "120"
        assert first.headers.get("Date")
        await trio.sleep(50)
        query = await phone.ask(phone.registration(expires=None))
        assert query.contacts[0].parameter("expires") == "70"
        refreshed = await phone.ask(phone.registration("<sip:alice@127.0.0.1:6000>", expires=120))
        assert refreshed.contacts[0].parameter("expires") == "120"
        gone = await phone.ask(phone.registration("<sip:alice@127.0.0.1:6000>", expires=0))
        assert contacts(gone) == []
        await trio.sleep(1)
        assert phone.node.directory.history == ["publish", "withdraw"]


async def test_several_contacts_and_star(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        both = await phone.ask(phone.registration("<sip:a@127.0.0.1:1>;q=0.2", "<sip:b@127.0.0.1:2>;expires=60"))
        assert sorted(contacts(both)) == ["sip:a@127.0.0.1:1", "sip:b@127.0.0.1:2"]
        wrong = await phone.ask(phone.registration("*", expires=60))
        assert wrong.status == 400
        nothing = await phone.ask(phone.registration("*", expires=0))
        assert (nothing.status, contacts(nothing)) == (200, [])


async def test_quality_orders_and_contact_parameters_come_back(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        instance = '"<urn:uuid:1>"'
        await phone.ask(
            phone.registration("<sip:a@127.0.0.1:1>;q=0.2", f"<sip:b@127.0.0.1:2>;+sip.instance={instance}")
        )
        assert [str(b.contact) for b in phone.node.server.bindings.of("alice@home.example", 1_000)] == [
            "sip:b@127.0.0.1:2",
            "sip:a@127.0.0.1:1",
        ]
        moved = await phone.ask(phone.registration(f"<sip:b@127.0.0.1:3>;+sip.instance={instance}"))
        assert sorted(contacts(moved)) == ["sip:a@127.0.0.1:1", "sip:b@127.0.0.1:3"]
        assert moved.contacts[1].parameter("+sip.instance") == instance


async def test_a_quality_that_is_no_number_counts_as_none(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        await phone.ask(phone.registration("<sip:a@127.0.0.1:1>;q=nan", "<sip:b@127.0.0.1:2>;q=9"))
        assert [b.quality for b in phone.node.server.bindings.of("alice@home.example", 1_000)] == [1.0, 1.0]


async def test_an_older_request_of_the_same_call_id_is_refused(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        phone.cseq = 10
        await phone.register()
        phone.cseq = 3
        late = await phone.ask(phone.registration(phone.contact, expires=0))
        assert late.status == 500
        phone.call_id = "after a restart"
        again = await phone.ask(phone.registration(phone.contact, expires=60))
        assert again.status == 200


async def test_short_and_long_expiries(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        brief = await phone.ask(phone.registration(phone.contact, expires=5))
        assert (brief.status, brief.headers.get("Min-Expires")) == (423, "30")
        long = await phone.ask(phone.registration(phone.contact, expires=999_999))
        assert long.contacts[0].parameter("expires") == "3600"
        unsaid = await phone.ask(phone.registration(phone.contact, expires=None))
        assert unsaid.contacts[0].parameter("expires") == "3600"


async def test_a_binding_that_runs_out_is_withdrawn(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        await phone.ask(phone.registration(phone.contact, expires=60))
        await trio.sleep(59)
        assert phone.node.directory.history == ["publish"]
        await trio.sleep(2)
        assert phone.node.directory.history == ["publish", "withdraw"]
        assert len(phone.node.server.bindings) == 0


async def test_an_overlay_that_is_down_is_told_later(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        phone.node.directory.error = RemoteError("no peers", status=503)
        await phone.register()
        await trio.sleep(3)
        assert phone.node.directory.history == []
        phone.node.directory.error = None
        await trio.sleep(5)
        assert phone.node.directory.history == ["publish"]


async def test_too_many_contacts_change_nothing(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        await phone.register()
        many = [f"<sip:a@127.0.0.1:{number}>" for number in range(1, CONTACTS_PER_REQUEST_MAX + 2)]
        assert (await phone.ask(phone.registration(*many))).status == 403
        assert (await phone.ask(phone.registration(*many[:-1]))).status == 403, "one phone is there already"
        assert len(phone.node.server.bindings) == 1


@pytest.mark.parametrize(
    ("target", "address", "status"),
    [
        ("sip:elsewhere.example", "sip:alice@home.example", 404),
        ("sip:home.example", "sip:alice@elsewhere.example", 404),
        ("sip:home.example", "sip:bob@home.example", 403),
        ("sip:home.example", "sip:1001@home.example", 200),
        ("sip:127.0.1.1:5060", "sip:ALICE@127.0.1.1", 200),
        ("sip:home.example", "isbn:2983792873", 400),
    ],
)
async def test_who_may_register_what(autojump_clock: MockClock, target: str, address: str, status: int) -> None:
    async with world() as w:
        phone = await one_phone(w)
        request = phone.request("REGISTER", target, to=address, headers=[("Contact", phone.contact)])
        assert (await phone.ask(request)).status == status


async def test_sha_256_is_asked_of_the_phones_that_chose_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        second = await w.phone(node, "alice-2", 6100, registered=False)
        challenge = await second.sip.start(second.registration(), second.flow).final_response()
        assert "SHA-256" in (challenge.headers.get("WWW-Authenticate") or "")
        await second.register()


async def test_unknown_users_are_challenged_and_refused_like_known_ones(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        answers = []
        for port, name in ((6000, "alice"), (6100, "nobody")):
            phone = await w.phone(node, name, port, registered=False)
            first = await phone.sip.start(phone.registration(phone.contact), phone.flow).final_response()
            second = await phone.ask(phone.registration(phone.contact), password="wrong")
            answers.append([(r.status, [n for n, _v in r.headers], r.headers.get("Warning")) for r in (first, second)])
        assert answers[0] == answers[1]


async def test_guessing_is_slowed_then_blocked_for_the_guesser(autojump_clock: MockClock) -> None:
    async with world() as w:
        node = await w.node("alice", "1001")
        phone = await w.phone(node, "alice", 6000)
        guesser = Phone(w, node, "alice", 6666)
        guesser.sip.address = ("10.0.0.66", 6666)
        w.network.services[guesser.sip.address] = guesser.sip
        guesser.flow = Flow("udp", guesser.sip.address, node.sip.address)
        await w.nursery.start(guesser.sip.run)
        seconds, statuses = [], []
        for _ in range(11):
            started = trio.current_time()
            statuses.append((await guesser.ask(guesser.registration(guesser.contact), password="guess")).status)
            seconds.append(trio.current_time() - started)
        assert statuses == [401] * 10 + [403]
        assert seconds[0] == 0
        assert seconds[9] >= 4
        assert (await guesser.ask(guesser.registration(guesser.contact))).status == 403, "even if right at last"
        blocked, wrong = node.server.status()["refused"]["recent"]
        assert (blocked["kind"], blocked["who"], blocked["count"]) == ("password guessing", "10.0.0.66", 2)
        assert (wrong["kind"], wrong["who"], wrong["count"]) == ("wrong password", "10.0.0.66", 10)
        assert "'alice'" in wrong["words"]
        await phone.register()
        await trio.sleep(400)
        assert (await guesser.ask(guesser.registration(guesser.contact))).status == 200


async def test_answers_that_wait_are_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "DELAYED_MAX", 0)
    async with world() as w:
        phone = await one_phone(w)
        for _ in range(3):
            assert (await phone.ask(phone.registration(), password="x")).status == 401
        assert (await phone.ask(phone.registration(), password="x")).status == 503


@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("SUBSCRIBE", 489), ("PUBLISH", 489), ("NOTIFY", 481), ("BYE", 481), ("REFER", 400)],
)
async def test_what_else_phones_send(autojump_clock: MockClock, method: str, status: int) -> None:
    async with world() as w:
        phone = await one_phone(w)
        response = await phone.ask(phone.request(method, "sip:alice@home.example"))
        assert response.status == status
        if status in (200, 405):
            assert "INVITE" in (response.headers.get("Allow") or "")


async def test_extensions_that_are_required_but_unknown(autojump_clock: MockClock) -> None:
    async with world() as w:
        phone = await one_phone(w)
        request = phone.invitation("sip:echo@home.example")
        request.headers.add("Require", "100rel, nonsense")
        response = await phone.ask(request)
        assert (response.status, response.headers.get("Unsupported")) == (420, "nonsense")


async def test_nodes_do_not_register_with_one_another(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.node("alice", "1001"), await w.node("bob", "1002")
        phone = await w.phone(a, "alice", 6000)
        request = phone.registration(phone.contact)
        response = await a.sip.start(request, a.sip.overlay_flow(b.sip.node_id)).final_response()
        assert response.status == 403


async def test_a_registered_flow_is_trusted_only_when_told_so(autojump_clock: MockClock) -> None:
    for trust, status in ((True, 200), (False, 401)):
        async with world() as w:
            node = await w.node("alice", "1001", trust_registered_flows=trust)
            phone = await w.phone(node, "alice", 6000)
            request = phone.invitation("sip:echo@home.example")
            assert (await phone.sip.start(request, phone.flow).final_response()).status == status
