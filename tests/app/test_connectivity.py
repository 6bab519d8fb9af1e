"""What a node's log says of the super-nodes that it is reached through."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from overlay.reachability import Role
from p2psip.app.connectivity import Connectivity
from p2psip.base.chance import Chance
from p2psip.net.clock import Clock


class FakeOverlay:
    """The overlay service as far as flows and the role go."""

    def __init__(self) -> None:
        self.flows: tuple[Any, ...] = ()
        self.verdict = SimpleNamespace(role=Role.CLIENT)
        self.flows_changed: Callable[[], None] = lambda: None

    def rendezvous(self) -> tuple[Any, ...]:
        return self.flows

    def on_rendezvous(self, hook: Callable[[], None]) -> None:
        self.flows_changed = hook

    def on_verdict(self, _hook: Any) -> None:
        pass

    def have(self, count: int) -> None:
        """So many super-nodes are attached now."""
        self.flows = (None,) * count
        self.flows_changed()


def connect() -> FakeOverlay:
    overlay: Any = FakeOverlay()
    nothing: Any = SimpleNamespace(on_relay=lambda _hook: None, on_closed=lambda _hook: None, number=1)
    Connectivity(
        port=nothing,
        links=nothing,
        overlay=overlay,
        media=nothing,
        supernode=None,
        port_mapping=False,
        clock=Clock(),
        chance=Chance.seeded(1),
    )
    known: FakeOverlay = overlay
    return known


def test_the_log_says_once_that_no_super_node_is_left(caplog: pytest.LogCaptureFixture) -> None:
    overlay = connect()
    for count in (1, 3, 2, 0, 0):
        overlay.have(count)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["no super-node answers any more: nobody can call this node until one does"]


def test_who_needs_none_any_more_is_not_warned(caplog: pytest.LogCaptureFixture) -> None:
    overlay = connect()
    overlay.have(3)
    overlay.verdict.role = Role.PEER
    overlay.have(0)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
