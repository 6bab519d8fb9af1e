"""Who speaks first shows who they are: nobody has to ask, within bounds, and what is lost costs a question only."""

from overlay.correspondence import INTRODUCED_MAX, INTRODUCED_SECONDS
from overlay.events import MessageArrived
from p2psip.base.chance import Chance
from p2psip.base.keys import NodeKey
from tests.overlay.devices import Town
from tests.overlay.world import LATENCY_SECONDS, Node, World

SAID = b"INVITE sip:bob@home.example SIP/2.0"


def heard(node: Node) -> list[bytes]:
    """What members said to the node."""
    return [event.data for event in node.events if isinstance(event, MessageArrived)]


def test_the_first_words_are_heard_as_soon_as_they_arrive() -> None:
    world = World(21)
    one, other = world.add(), world.add()
    other.peer.say(one.key, [one.address], SAID, world.now)
    world.pump(other)
    begun = world.now
    assert world.run_until(lambda: heard(one) == [SAID], 2.0)
    assert world.now - begun <= LATENCY_SECONDS[1]  # no question in between


def test_one_introduction_serves_for_a_while_and_is_then_said_again() -> None:
    world = World(22)
    one, other = world.add(), world.add()
    introduced = other.peer._correspondence._introduced
    other.peer.say(one.key, [one.address], SAID, world.now)
    first = introduced[one.key]
    other.peer.say(one.key, [one.address], SAID, world.now + INTRODUCED_SECONDS - 1)
    assert introduced[one.key] == first
    other.peer.say(one.key, [one.address], SAID, world.now + INTRODUCED_SECONDS)
    assert introduced[one.key] == first + INTRODUCED_SECONDS


def test_who_has_forgotten_us_asks() -> None:
    world = World(23)
    one, other = world.add(), world.add()
    other.peer.say(one.key, [one.address], SAID, world.now)
    world.pump(other)
    world.run(2)
    known = one.peer._box.peer(other.key)
    assert known is not None
    known.certificate = None
    other.peer.say(one.key, [one.address], SAID + b" again".ljust(1_100), world.now)
    world.pump(other)
    world.run(2)
    assert len(heard(one)) == 2


def test_a_certificate_of_somebody_else_or_of_no_member_introduces_nobody() -> None:
    world = World(24)
    one, other = world.add(), world.add()
    eve = world.add(device=Town(seed=89).device("eve"))
    for der in (other.device.certificate.der, eve.device.certificate.der, b"", bytes(900)):
        eve.peer.update_certificate(der)
        eve.peer._correspondence._introduced.clear()
        eve.peer.say(one.key, [one.address], SAID, world.now)
        world.pump(eve)
        world.run(1)
    assert heard(one) == []
    assert eve.key not in one.peer._members


def test_one_introduction_over_the_bound_forgets_the_oldest() -> None:
    world = World(25)
    one = world.add()
    keys = [NodeKey.generate(Chance.seeded(number)).public for number in range(INTRODUCED_MAX + 1)]
    for key in keys:
        one.peer._correspondence._introduce(key, world.now)
    introduced = one.peer._correspondence._introduced
    assert len(introduced) == INTRODUCED_MAX
    assert keys[0] not in introduced
