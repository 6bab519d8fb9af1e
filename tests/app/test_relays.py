"""Relays ahead of calls: what a super-node names as its servers is no way into the networks of its clients."""

import pytest

from p2psip.app.relays import servers_to_trust
from p2psip.base.grants import TurnServer, make_grant


@pytest.mark.parametrize(
    ("server", "supernode", "trusted"),
    [
        ("1.1.1.1", "8.8.8.8", True),
        ("192.168.1.1", "8.8.8.8", False),
        ("127.0.0.1", "8.8.8.8", False),
        ("127.0.0.1", "192.168.1.5", False),
        ("fe80::1", "2600::1", False),
        ("192.168.1.1", "192.168.1.5", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("1.1.1.1", None, False),
    ],
)
def test_a_super_node_elsewhere_cannot_aim_its_clients_at_their_own_networks(
    server: str, supernode: str | None, trusted: bool
) -> None:
    named = TurnServer("tcp", (server, 80))
    grant = make_grant(b"secret", "ab" * 20, "example.org", 0.0, 600, [named])
    assert servers_to_trust(grant, supernode) == ([named] if trusted else [])
