"""The seam: what a hook says is what goes out, what it leaves alone is the honest answer, and nothing else changes."""

from overlay.records import registration_key
from overlay.rpc import CONFIGURATION, FIND, OK, PING
from simulations.hostile.hostile import Gang, Hostile
from simulations.hostile.lying import Asked, Reply
from simulations.hostile.silent import Dropper
from simulations.network.nat import PUBLIC
from tests.simulations.town import Answers, people_of, town


class Miser(Hostile):
    """The example of the documentation."""

    def show_records(self, asked: Asked, key: bytes, honest: list[bytes]) -> list[bytes]:
        """None."""
        return []


class Rude(Hostile):
    """Refuses whatever it is asked for."""

    def reply(self, asked: Asked, honest: Reply) -> Reply | None:
        """With a status of its own."""
        return Reply(418, f"no {asked.method}")


class Busy(Hostile):
    """Counts how often it may act."""

    every = 2.0

    def act(self, now: float) -> None:
        """Nothing but a count."""
        self.did("acted")


def test_a_hostile_node_without_hooks_is_an_honest_one() -> None:
    hashes = []
    for kind in (None, Hostile):
        swarm = town(1, 10)
        if kind is None:
            node = swarm.add(nat=PUBLIC)
            node.wants_registration = False
            swarm.start(node)
        else:
            Gang(swarm).recruit(kind, 1)
        swarm.world.run(30.0)
        hashes.append(swarm.world.trace.hexdigest())
    assert hashes[0] == hashes[1]


def test_a_hook_alters_what_is_answered() -> None:
    swarm = town(2, 10)
    misers = Gang(swarm).recruit(Miser, 4)
    swarm.world.run(350.0)  # registrations are refreshed, and misers hold them now
    answers, asker, target = Answers(swarm), people_of(swarm)[0], people_of(swarm)[1]
    key = registration_key(target.address)
    assert any(miser.core.peer.store.get("registration", key, swarm.world.unix) for miser in misers)
    for miser in misers:
        contacts, records = answers.find(asker, miser, key)
        assert contacts
        assert not records
    assert answers.find(asker, target, key)[1], "an honest holder shows it"


def test_a_status_of_its_own() -> None:
    swarm = town(3, 6)
    rude, asker = Gang(swarm).recruit(Rude, 1)[0], people_of(swarm)[0]
    answers = Answers(swarm)
    swarm.world.run(5.0)
    for method in (PING, FIND, CONFIGURATION):
        answer = answers.ask(asker, rude, method, [bytes(20), True])
        assert answer is not None
        assert (answer.status, answer.result) == (418, f"no {method}")


def test_silence_is_no_answer_at_all() -> None:
    swarm = town(4, 6)
    dropper, asker = Gang(swarm).recruit(Dropper, 1)[0], people_of(swarm)[0]
    answers = Answers(swarm)
    swarm.world.run(5.0)
    ping = answers.ask(asker, dropper, PING, [])
    assert ping is not None
    assert ping.status == OK
    assert answers.ask(asker, dropper, FIND, [bytes(20), True]) is None


def test_acting_ends_with_a_crash_and_begins_anew_with_a_start() -> None:
    swarm = town(5, 5)
    gang = Gang(swarm)
    node = gang.recruit(Busy, 1)[0]
    swarm.world.run(20.0)
    assert 9 <= gang.deeds["acted"] <= 11
    swarm.crash(node)
    before = gang.deeds["acted"]
    swarm.world.run(20.0)
    assert gang.deeds["acted"] == before
    swarm.start(node)
    swarm.world.run(20.0)
    assert before + 9 <= gang.deeds["acted"] <= before + 11
    assert gang.members == [node]


def test_hostile_nodes_grow_with_the_others_and_know_one_another() -> None:
    swarm = town(6, 5)
    gang = Gang(swarm)
    swarm.grow(4, node_class=gang.of(Miser), nat=PUBLIC, per_second=4.0)
    swarm.world.run(20.0)
    assert len(gang.members) == 4
    assert all(node.hostile and node.joined_at is not None for node in gang.members)
    assert all(not node.hostile for node in gang.honest())
    own = gang.members[2]
    assert gang.closest(own.node_id, 1)[0].startswith(own.key)
