"""Processes for demo and tests: one that fails says why, and none is left behind."""

from pathlib import Path

import pytest

from p2psip.app.local_network import LocalNetwork, ProcessFailed


async def test_a_command_that_fails_says_its_words(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"`p2psip status` ended with 1: p2psip: no node is running"):
        await LocalNetwork(tmp_path).command(tmp_path, "status")


async def test_a_node_that_does_not_start_says_the_end_of_its_log(tmp_path: Path) -> None:
    network = LocalNetwork(tmp_path)
    with pytest.raises(ProcessFailed, match=r"did not become ready: .*p2psip join LINK"):
        await network.up(tmp_path / "alice")
    assert network.nodes == []


@pytest.mark.slow
async def test_a_bootstrap_server_alone_starts_invites_and_ends(tmp_path: Path) -> None:
    network = LocalNetwork(tmp_path)
    bootstrap = await network.start_bootstrap()
    assert bootstrap.ready["link"].startswith("p2psip://")
    first, second = await network.invite(), await network.invite()
    assert first != second
    with pytest.raises(ProcessFailed, match=r"running in .* already"):
        await network.start_bootstrap()
    assert await bootstrap.stop() == 0
    again = await network.start_bootstrap(port=bootstrap.ready["port"])
    await again.kill()
    await network.close()
    assert again.process.returncode == -9
