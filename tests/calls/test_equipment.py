"""What ladders call the two ends of a call: what they are."""

from typing import Any

import pytest

from p2psip.calls.equipment import Party, caller_name
from p2psip.sip.flow import OVERLAY, Flow

UDP = Flow("udp", ("192.0.2.1", 5062), ("198.51.100.7", 5060))
NODE = Flow(OVERLAY, ("overlay", 0), ("ab" * 20, 0))


class FakeLine:
    """As much of a trunk as has a name."""

    name = "trunk provider"


@pytest.mark.parametrize(
    ("flow", "values", "name"),
    [
        (UDP, {"account": "alice-2"}, "phone alice-2"),
        (NODE, {"kind": "node"}, "node abababab"),
        (NODE, {"kind": "stranger"}, "node abababab for a stranger"),
        (UDP, {"kind": "stranger"}, "stranger 198.51.100.7"),
        (UDP, {"kind": "trunk", "line": FakeLine()}, "trunk provider"),
    ],
)
def test_a_caller_is_named_as_what_it_is(flow: Flow, values: dict[str, Any], name: str) -> None:
    assert caller_name(Party("x@y.example", None, flow, **values)) == name
