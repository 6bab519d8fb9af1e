"""The TURN client asks for relayed addresses of both families at once, and is content with one (RFC 8656 §7.1, §7.2)."""

import pytest

from media.turn import messages
from media.turn.client import TurnClient
from media.turn.outcomes import Allocated
from p2psip.base.chance import Chance
from p2psip.base.core import Address, Transmit
from tests.media.turn.test_client import CREDENTIALS, MAPPED, PEER, RELAYED, SERVER

RELAYED_IPV6: Address = ("2001:db8::10", 50_001)
PEER_IPV6: Address = ("2001:db8::5", 6_000)
WISH_IPV6 = messages.attribute(messages.ADDITIONAL_ADDRESS_FAMILY, b"\2\0\0\0")
REQUESTED_IPV6 = messages.attribute(messages.REQUESTED_ADDRESS_FAMILY, b"\2\0\0\0")


class DualServer:
    """A server by hand that has these relayed addresses, and refuses Allocate requests with ADDITIONAL-ADDRESS-FAMILY if told."""

    def __init__(
        self, relayed: tuple[Address, ...], *, refuses: dict[bytes, int] | None = None, family: int = 4
    ) -> None:
        self.client = TurnClient(
            SERVER, CREDENTIALS, is_stream=False, chance=Chance.seeded(1), family=family, both=True
        )
        self.relayed, self.refuses = relayed, refuses or {}
        self.events: list[object] = []
        self.permissions: list[str] = []
        self.asked: list[bytes] = []
        self.client.start(0.0)
        self.settle()

    def settle(self) -> None:
        """Answer all that the client says."""
        while (output := self.client.poll_output()) is not None:
            if isinstance(output, Transmit):
                self.client.receive(self.answer(messages.read(output.data)), SERVER, 0.0)
            else:
                self.events.append(output)

    def answer(self, message: messages.Message) -> bytes:
        """The answer to one request."""
        transaction, body = message.transaction, b""
        if not message.integrity_at:
            body = messages.error_attribute(401, "who") + messages.attribute(messages.NONCE, b"n")
            return messages.write(messages.ERROR, message.method, transaction, body, None)
        key = messages.long_term_key(CREDENTIALS.username, CREDENTIALS.realm, CREDENTIALS.password)
        code = 0
        if message.method == messages.ALLOCATE:
            self.asked.append(message.raw)
            code = next((code for wish, code in self.refuses.items() if wish in message.raw), 0)
            for address in self.relayed:
                body += messages.address_attribute(messages.XOR_RELAYED_ADDRESS, address, transaction)
            body += messages.address_attribute(messages.XOR_MAPPED_ADDRESS, MAPPED, transaction)
        elif message.method == messages.CREATE_PERMISSION:
            host = message.peers[0][0]
            self.permissions.append(host)
            code = 0 if any((":" in host) == (":" in each[0]) for each in self.relayed) else 443
        if code:
            return messages.write(
                messages.ERROR, message.method, transaction, messages.error_attribute(code, "no"), key
            )
        return messages.write(messages.SUCCESS, message.method, transaction, body, key)


def test_both_families_are_asked_for_in_one_allocation() -> None:
    server = DualServer((RELAYED, RELAYED_IPV6))
    assert server.events == [Allocated(RELAYED, MAPPED, RELAYED_IPV6)]
    assert server.client.relays == {4: RELAYED, 6: RELAYED_IPV6}
    assert [WISH_IPV6 in wire for wire in server.asked] == [True]
    for peer in (PEER, PEER_IPV6):
        server.client.permit(peer[0], 0.0)
        server.settle()
        server.client.bind(peer, 0.0)
        server.settle()
        assert server.client.wrap(b"media", peer) is not None
    assert server.permissions == [PEER[0], PEER_IPV6[0]]


def test_a_server_that_gives_one_family_only_is_asked_for_no_permission_of_the_other() -> None:
    server = DualServer((RELAYED,))
    assert server.events == [Allocated(RELAYED, MAPPED)]
    server.client.permit(PEER_IPV6[0], 0.0)
    server.client.permit(PEER[0], 0.0)
    server.settle()
    assert server.permissions == [PEER[0]]
    assert server.client.wrap(b"media", PEER_IPV6) is None


@pytest.mark.parametrize("code", [400, 420, 440, 486, 508])
@pytest.mark.parametrize("family", [4, 6])
def test_a_server_that_refuses_two_families_is_asked_for_the_one_it_is_reached_by(code: int, family: int) -> None:
    server = DualServer((RELAYED,), refuses={WISH_IPV6: code}, family=family)
    assert server.events == [Allocated(RELAYED, MAPPED)]
    assert [REQUESTED_IPV6 in wire for wire in server.asked] == [False, family == 6]


def test_a_server_reached_by_ipv6_that_has_ipv4_addresses_only_is_asked_for_those_at_last() -> None:
    server = DualServer((RELAYED,), refuses={WISH_IPV6: 440, REQUESTED_IPV6: 440}, family=6)
    assert server.events == [Allocated(RELAYED, MAPPED)]
    assert len(server.asked) == 3


def test_what_was_permitted_before_the_answer_is_asked_for_where_it_can_be_had() -> None:
    client = TurnClient(SERVER, CREDENTIALS, is_stream=False, chance=Chance.seeded(1), both=True)
    client.permit(PEER[0], 0.0)
    client.permit(PEER_IPV6[0], 0.0)
    assert set(client.permitted) == {PEER[0], PEER_IPV6[0]}
    server = DualServer((RELAYED_IPV6,))
    server.client, server.events = client, []
    client.start(0.0)
    server.settle()
    assert server.permissions == [PEER_IPV6[0]]


def test_a_peer_of_a_family_that_the_server_has_lost_is_refused_by_443() -> None:
    server = DualServer((RELAYED, RELAYED_IPV6))
    server.relayed = (RELAYED,)
    server.client.permit(PEER_IPV6[0], 0.0)
    server.settle()
    assert server.client.permitted == {PEER_IPV6[0]: False}
    assert server.client.wrap(b"media", PEER_IPV6) is None
