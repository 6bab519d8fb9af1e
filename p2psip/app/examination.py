"""What the doctor looks at in a running node, gathered into plain facts, and read again on the command line's side."""

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from overlay.sockets import own_addresses
from p2psip.app.control import ControlError
from p2psip.app.doctor import CallCheckFacts, DoctorFacts

if TYPE_CHECKING:
    from p2psip.app.node import Node

_FACTS = TypeAdapter(DoctorFacts)


async def doctor_facts(node: "Node") -> DoctorFacts:
    """The facts of `node` now; takes as long as a call from outside as a test."""
    calls = node.calls.status()
    verdict = node.overlay.verdict
    known = node.overlay.peers()
    return DoctorFacts(
        overlay=node.membership.overlay,
        addresses=node.membership.addresses,
        role=verdict.role.name.lower(),
        mapping=verdict.mapping.name.lower(),
        filtering=verdict.filtering.name.lower(),
        proved=verdict.proved,
        seen_as=verdict.address,
        local=own_addresses(node.port.local, [address for _, address in known]),
        port=node.port.number,
        peers=len(known),
        phones=len(calls["phones"]),
        published=calls["published"],
        udp=True if verdict.address is not None else None,
        call_check=CallCheckFacts(None),
        port_mapping_wanted=node.settings.network.port_mapping,
    )


def read_facts(value: Any) -> DoctorFacts:
    """The facts as the control socket gives them; ControlError when they are of another version."""
    try:
        return _FACTS.validate_python(value)
    except ValidationError as error:
        raise ControlError(
            "the node answers otherwise than expected; are node and command line of one version?"
        ) from error
