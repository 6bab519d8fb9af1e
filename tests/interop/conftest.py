"""A real overlay of processes for each interop test: a bootstrap server and two nodes, alice's and bob's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from media.tones import tone
from media.wav import write_wav
from p2psip.app.local_network import LocalNetwork, NodeProcess, PhoneAccount

ALICE_HERTZ, BOB_HERTZ = 400.0, 700.0
SPOKEN_SECONDS = 90.0
WAIT_SECONDS_MAX = 15.0


@dataclass(slots=True)
class Town:
    """Two nodes with a phone account each, and a tone for each to speak."""

    network: LocalNetwork
    folder: Path
    bootstrap: NodeProcess
    alice: NodeProcess
    bob: NodeProcess
    alice_phone: PhoneAccount
    bob_phone: PhoneAccount

    def speech(self, name: str, hertz: float) -> Path:
        """A WAV file of one tone."""
        path = self.folder / f"{name}-speaks.wav"
        write_wav(path, tone(hertz, SPOKEN_SECONDS))
        return path

    async def status(self, node: NodeProcess) -> dict[str, Any]:
        """`p2psip status --json` of a node."""
        answer: dict[str, Any] = await self.network.command(node.home, "status")
        return answer

    async def wait_registered(self, node: NodeProcess, phones: int = 1) -> None:
        """Until so many phones are registered and the overlay knows."""
        with trio.fail_after(WAIT_SECONDS_MAX):
            while True:
                status = await self.status(node)
                if len(status["phones"]) >= phones and status["node"]["published"]:
                    return


@pytest.fixture
async def town(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    """Both nodes are up and know each other; phones may register at once. A parameter is more settings of alice's node."""
    network = LocalNetwork(tmp_path)
    try:
        bootstrap = await network.start_bootstrap()
        people: dict[str, tuple[NodeProcess, PhoneAccount]] = {}

        async def settle(name: str, settings: str) -> None:
            home = await network.join(name)
            (home / "p2psip.toml").write_text(settings)
            node = await network.up(home)
            people[name] = node, await network.add_phone(node)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                settle, "alice", "[sip]\ntrust_registered_flows = true\n" + getattr(request, "param", "")
            )
            nursery.start_soon(settle, "bob", '[calls]\nredirects = ["alice"]\n')
        (alice, alice_phone), (bob, bob_phone) = people["alice"], people["bob"]
        yield Town(network, tmp_path, bootstrap, alice, bob, alice_phone, bob_phone)
    finally:
        await network.close()
