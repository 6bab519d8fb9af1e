"""What a node's service asks of super-nodes: TURN credentials, and whether it can be called."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from overlay.reaching import CallCheck
from overlay.rpc import GRANT, OK, REACH, Answer
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.grants import Grant, unpack_grant
from p2psip.base.keys import node_id_of

REACH_POLLS_MAX = 16
REACH_POLL_SECONDS = 0.5
TESTERS_MAX = 3


class Requester(Protocol):
    """Asks a node; None when no answer came."""

    async def request(self, node_key: bytes, address: Address, method: int, arguments: list[Any]) -> Answer | None:
        """Ask the node at this address."""


async def ask_grant(requester: Requester, node_key: bytes, address: Address) -> Grant:
    """TURN credentials of this super-node; RemoteError when it gives none."""
    answer = await requester.request(node_key, address, GRANT, [])
    if answer is None:
        raise RemoteError("the super-node does not answer", status=504)
    if answer.status != OK:
        raise RemoteError(f"the super-node refuses: {answer.result}", status=answer.status)
    return unpack_grant(answer.result)


async def ask_reach(
    requester: Requester,
    testers: Sequence[tuple[bytes, Address]],
    person: str,
    sleep: Callable[[float], Awaitable[None]],
) -> CallCheck:
    """Let one of `testers`, the first that is willing, reach us through what stands at `person`."""
    for node_key, address in testers[:TESTERS_MAX]:
        for _poll in range(REACH_POLLS_MAX):
            answer = await requester.request(node_key, address, REACH, [person])
            if answer is None or answer.status != OK:
                break  # this one cannot tell
            match answer.result:
                case [True, bool() as reached, str() as words]:
                    return CallCheck(reached, words, node_id_of(node_key))
                case [False, bool(), str()]:
                    await sleep(REACH_POLL_SECONDS)
                case _:
                    break
    return CallCheck(False, "nobody was found who could try to reach this node", None)
