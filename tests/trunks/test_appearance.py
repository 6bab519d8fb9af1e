"""How we look to a provider."""

from p2psip.sip.flow import Flow
from p2psip.trunks.appearance import LEARNT_MAX, Appearance
from tests.trunks.values import trunk

HERE, SEEN = ("192.168.1.5", 5090), ("203.0.113.5", 40_000)
FLOW = Flow("udp", HERE, ("192.0.2.9", 5060))


def test_our_own_address_until_another_is_seen() -> None:
    appearance = Appearance(trunk())
    assert appearance.contact(FLOW) == "<sip:4930123@192.168.1.5:5090>"
    assert appearance.public(HERE) is None
    appearance.learn(HERE, SEEN)
    assert appearance.contact(FLOW) == "<sip:4930123@203.0.113.5:40000>"
    appearance.learn(HERE, HERE)
    assert appearance.public(HERE) is None


def test_the_address_of_the_settings_goes_before_what_was_seen() -> None:
    appearance = Appearance(trunk(public_address="2001:db8::7"))
    appearance.learn(HERE, SEEN)
    assert appearance.contact(FLOW) == "<sip:4930123@[2001:db8::7]:5090>"


def test_a_stream_says_its_transport() -> None:
    flow = Flow("tls", HERE, ("192.0.2.9", 5061), 3)
    assert Appearance(trunk()).contact(flow) == "<sip:4930123@192.168.1.5:5090;transport=tls>"


def test_so_many_addresses_are_remembered_and_no_more() -> None:
    appearance = Appearance(trunk())
    for number in range(LEARNT_MAX + 1):
        appearance.learn(("192.168.1.5", number), SEEN)
    assert appearance.public(("192.168.1.5", 0)) is None
    assert appearance.public(("192.168.1.5", 1)) == SEEN
