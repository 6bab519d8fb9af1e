"""kill -9 of a node at different moments of a call, and its restart: nothing is lost, and the other side learns why."""

import pytest
import trio

from p2psip.app.local_network import ProcessFailed
from tests.interop.baresip import baresip
from tests.interop.conftest import ALICE_HERTZ, BOB_HERTZ, Town

pytestmark = pytest.mark.interop

END_SECONDS_MAX = 40.0
TALK_SECONDS = 1.0
KEPT_SECONDS = 3.0
AGAIN_SECONDS_MAX = 5.0


@pytest.mark.parametrize("moment", ["ringing", "talking"])
@pytest.mark.parametrize("victim", ["alice", "bob"])
async def test_a_killed_node_ends_the_call_and_comes_back_whole(town: Town, victim: str, moment: str) -> None:
    answer = "auto" if moment == "talking" else "manual"
    async with (
        baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice,
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ), answer=answer) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await alice.command("dial", "sip:bob@home.example")
        await bob.wait_for("CALL_ESTABLISHED" if moment == "talking" else "CALL_INCOMING")
        await trio.sleep(TALK_SECONDS)
        node, survivor = (town.alice, bob) if victim == "alice" else (town.bob, alice)
        await node.kill()
        words = (await survivor.wait_for("CALL_CLOSED", END_SECONDS_MAX))["param"]
        assert words, "the phone was not told why the call ended"
    again = await town.network.up(node.home)
    assert again.ready["node_id"] == node.ready["node_id"]
    assert again.ready["peers"] >= 1
    phones = await town.network.command(node.home, "phone", "list")
    assert [phone["name"] for phone in phones] == [victim]


async def test_a_node_that_restarts_without_the_bootstrap_server_is_called_again(town: Town) -> None:
    await town.bob.kill()
    await town.bootstrap.kill()
    bob_node = await town.network.up(town.bob.home)
    town.bob_phone = type(town.bob_phone)(
        town.bob_phone.name, town.bob_phone.address, town.bob_phone.password, bob_node.sip
    )
    async with (
        baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice,
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(bob_node)
        await alice.command("dial", "sip:bob@home.example")
        await bob.wait_for("CALL_ESTABLISHED")


async def test_a_phone_need_not_register_anew_with_a_node_that_restarts(town: Town) -> None:
    async with (
        baresip(town.folder / "a", town.alice_phone, town.speech("alice", ALICE_HERTZ)) as alice,
        baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)) as bob,
    ):
        await town.wait_registered(town.alice)
        await town.wait_registered(town.bob)
        await trio.sleep(KEPT_SECONDS)
        await town.bob.kill()
        node = await town.network.up(town.bob.home, "--sip-port", str(town.bob.sip[1]))
        await town.wait_registered(node)
        await alice.command("dial", "sip:bob@home.example")
        await bob.wait_for("CALL_ESTABLISHED", AGAIN_SECONDS_MAX)


async def is_found(town: Town, name: str) -> bool:
    """Whether alice's node finds a registration of `name`."""
    try:
        found = await town.network.command(town.alice.home, "lookup", name)
    except ProcessFailed as error:  # exit code 1: nobody is there
        if '"registrations": []' in str(error):
            return False
        raise
    return bool(found["registrations"])


async def test_a_revoked_person_is_shut_out_of_the_overlay(town: Town) -> None:
    async with baresip(town.folder / "b", town.bob_phone, town.speech("bob", BOB_HERTZ)):
        await town.wait_registered(town.bob)
        assert await is_found(town, "bob")
        await town.network.command(town.bootstrap.home, "revoke", "bob")
        with trio.fail_after(END_SECONDS_MAX):
            while await is_found(town, "bob"):  # noqa: ASYNC110 - other processes learn of it
                await trio.sleep(0.5)
