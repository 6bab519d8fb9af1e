"""Poisoners lead astray, Sybils hide a key from plain Kademlia, and eclipsers sit around their victim."""

from overlay.records import registration_key
from overlay.searches import SearchPolicy
from p2psip.base.chance import Chance
from simulations.hostile.grinding import bits_for
from simulations.hostile.hostile import Gang
from simulations.hostile.poison import INVENTED_MAX, Conspirator, Invented, Inventor, Poisoner, Sybil, eclipse, sybils
from tests.simulations.town import Answers, find, pairs, people_of, share_found, town

PLAIN = SearchPolicy(paths=1, regions=False, copies=8)


def test_a_poisoner_names_only_accomplices_to_honest_and_hostile_askers() -> None:
    swarm = town(1, 12)
    gang = Gang(swarm)
    liars = gang.recruit(Poisoner, 5)
    swarm.world.run(20.0)
    answers, target = Answers(swarm), people_of(swarm)[1].node_id
    for asker in (people_of(swarm)[0], liars[1]):
        contacts, _records = answers.find(asker, liars[0], target)
        assert contacts
        assert {contact.node_key for contact in contacts} <= {liar.key for liar in liars}


def test_an_inventor_names_nobody_close_to_the_target() -> None:
    swarm = town(2, 12)
    gang = Gang(swarm)
    liar = gang.recruit(Inventor, 1)[0]
    swarm.world.run(20.0)
    answers, asker = Answers(swarm), people_of(swarm)[0]
    target = registration_key(people_of(swarm)[1].address)
    contacts, _records = answers.find(asker, liar, target)
    assert len(contacts) == 8
    assert all(swarm.node_of(contact.node_key) is None for contact in contacts)
    wanted = int.from_bytes(target, "big")
    closest = min(int.from_bytes(node.node_id, "big") ^ wanted for node in swarm.alive)
    assert contacts[0].number ^ wanted < closest


def test_inventors_cost_messages() -> None:
    messages = []
    for inventors in (0, 15):
        swarm = town(3, 15)
        Gang(swarm).recruit(Inventor, inventors)
        swarm.world.run(30.0)
        messages.append(sum(find(swarm, node, target).messages for node, target in pairs(swarm, 15)))
    assert messages[1] > messages[0]


def test_what_is_invented_is_bounded() -> None:
    assert len(Invented(Chance.seeded(1), INVENTED_MAX + 1)) == INVENTED_MAX
    assert len(Invented(Chance.seeded(1), 300)) == 300


def test_a_conspirator_lies_in_all_ways_at_once() -> None:
    swarm = town(4, 12)
    gang = Gang(swarm)
    liars = gang.recruit(Conspirator, 5)
    swarm.world.run(350.0)
    answers, asker = Answers(swarm), people_of(swarm)[0]
    contacts, records = answers.find(asker, liars[0], registration_key(people_of(swarm)[1].address))
    assert records == []
    assert {contact.node_key for contact in contacts} <= {liar.key for liar in liars}


def test_sybils_are_closer_to_the_key_than_all_others_and_hide_it_from_plain_kademlia() -> None:
    swarm = town(5, 20, policy=PLAIN)
    target = people_of(swarm)[7]
    key = registration_key(target.address)
    gang = Gang(swarm)
    ground = sybils(gang, key, 30)
    bits = bits_for(21)
    assert all(
        int.from_bytes(node.node_id, "big") >> 160 - bits == int.from_bytes(key, "big") >> 160 - bits for node in ground
    )
    assert all(type(node).__mro__[1] is Sybil for node in ground)
    swarm.world.run(700.0)  # the registration was refreshed twice, and older copies have expired
    hidden = [(node, target) for node in people_of(swarm) if node is not target]
    assert share_found(swarm, hidden) < 0.3
    others = [(one, other) for one, other in pairs(swarm, 10) if other is not target]
    assert share_found(swarm, others) > 0.8, "all other keys are served as by good nodes"


def test_eclipsers_surround_their_victim_and_nobody_else() -> None:
    swarm = town(6, 15)
    victim, other = people_of(swarm)[3:5]
    gang = Gang(swarm)
    around = eclipse(gang, victim, 24)
    swarm.world.run(40.0)
    table = victim.core.peer.table
    closest = table.find_closest(victim.core.peer.number, 8)
    owners = [swarm.node_of(contact.node_key) for contact in closest]
    assert all(owner is not None and owner.hostile for owner in owners)
    answers = Answers(swarm)
    to_victim, _records = answers.find(victim, around[0], bytes(20))
    to_other, _records = answers.find(other, around[0], bytes(20))
    keys = {node.key for node in around}
    assert {contact.node_key for contact in to_victim} <= keys
    assert not {contact.node_key for contact in to_other} <= keys
