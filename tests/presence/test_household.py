"""What a node knows of its own person."""

from dataclasses import dataclass

from p2psip.base.chance import Chance
from p2psip.calls.addresses import Addresses
from p2psip.calls.bindings import Binding, BindingTable
from p2psip.calls.call_log import CallLog
from p2psip.presence.dialog_info import DIALOGS_MAX, Dialogs
from p2psip.presence.household import Household
from p2psip.presence.message_summary import Waiting
from p2psip.presence.packages import ALLOW_EVENTS, DIALOG, MESSAGE_SUMMARY, PACKAGES, PRESENCE, event_of
from p2psip.presence.pidf import ON_THE_PHONE, Presence, Service
from p2psip.presence.ports import NoMailbox
from p2psip.presence.publications import Publications
from p2psip.sip.flow import Flow
from p2psip.sip.uri import SipUri

ALICE, NUMBER, BOB = "alice@home.example", "1001@home.example", "bob@home.example"


@dataclass
class Clock:
    """A clock that stands."""

    at: float = 100.0

    def now(self) -> float:
        return self.at

    def unix(self) -> float:
        return 1e9 + self.at


class House:
    """A household and what it is made of."""

    def __init__(self) -> None:
        self.clock, self.bindings, self.log = Clock(), BindingTable(), CallLog()
        self.publications = Publications(Chance.seeded(1))
        self.state = Household(
            addresses=Addresses("home.example", (ALICE, NUMBER)),
            bindings=self.bindings,
            log=self.log,
            publications=self.publications,
            mailbox=NoMailbox(),
            clock=self.clock,
        )

    def register(self, *accounts: str) -> None:
        flow = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.1", 6000))
        contacts = [(name, SipUri.parse(f"sip:{name}@127.0.0.1:6000")) for name in accounts]
        self.bindings.replace(ALICE, [Binding(ALICE, name, uri, flow, "c", 1, 200.0) for name, uri in contacts])

    def publish(self, account: str, state: Presence | Waiting, package: str = PRESENCE) -> None:
        body = state.write(ALICE)
        self.publications.publish(
            PACKAGES[package], account, if_match=None, expires=600, body=body, now=self.clock.now()
        )

    def presence(self, *, with_calls: bool = True) -> Presence:
        state = self.state.state(PRESENCE, with_calls=with_calls, with_names=True)
        assert isinstance(state, Presence)
        return state

    def dialogs(self, *, with_calls: bool = True, with_names: bool = True) -> Dialogs:
        state = self.state.state(DIALOG, with_calls=with_calls, with_names=with_names)
        assert isinstance(state, Dialogs)
        return state


def test_open_while_a_phone_is_registered() -> None:
    house = House()
    assert not house.presence().is_open
    house.register("alice", "kitchen")
    assert len(house.presence().services) == 2
    assert house.presence().is_open
    assert b"kitchen" not in house.presence().write(ALICE)
    house.clock.at = 200.0
    assert not house.presence().is_open


def test_a_phone_that_publishes_speaks_for_itself_and_only_while_it_is_registered() -> None:
    house = House()
    house.publish("alice", Presence((Service("x", True),), ("lunch",)))
    assert not house.presence().is_open
    house.register("alice")
    assert house.presence().activities == ("lunch",)
    house.publish("kitchen", Presence((Service("y", False),), ("away",)))
    assert house.presence().activities == ("lunch",)
    house.register("kitchen")
    assert not house.presence().is_open
    house.register("alice", "kitchen")
    assert house.presence().is_open


def test_calls_are_told_to_who_may_know_and_names_to_fewer() -> None:
    house = House()
    house.register("alice")
    record = house.log.open(BOB, NUMBER, 0.0)
    record.ring(1.0)
    assert [(call.state, call.direction, call.remote) for call in house.dialogs().calls] == [
        ("early", "recipient", f"sip:{BOB}")
    ]
    assert ON_THE_PHONE not in house.presence().activities
    record.answer(2.0)
    assert house.presence().activities == (ON_THE_PHONE,)
    assert house.presence(with_calls=False).activities == ()
    assert house.dialogs(with_calls=False) == Dialogs()
    assert house.dialogs(with_names=False).calls[0].remote is None
    record.end(3.0, 200, "")
    assert house.dialogs() == Dialogs()


def test_a_call_between_two_phones_of_the_person_is_two_dialogs_and_calls_of_others_are_none() -> None:
    house = House()
    house.log.open(ALICE, NUMBER, 0.0)
    house.log.open(BOB, "carol@home.example", 0.0)
    assert [call.direction for call in house.dialogs().calls] == ["initiator", "recipient"]
    for _ in range(DIALOGS_MAX):
        house.log.open(ALICE, BOB, 0.0)
    assert len(house.dialogs().calls) == DIALOGS_MAX


def test_missed_calls_are_no_messages_and_published_counts_add_up() -> None:
    house = House()
    house.log.open(BOB, ALICE, 0.0).end(5.0, 408, "nobody answered")
    assert house.state.state(MESSAGE_SUMMARY, with_calls=True, with_names=True) == Waiting()
    house.publish("one", Waiting(1, 2), MESSAGE_SUMMARY)
    house.publish("two", Waiting(3), MESSAGE_SUMMARY)
    assert house.state.state(MESSAGE_SUMMARY, with_calls=True, with_names=True) == Waiting(4, 2)


def test_whoever_watches_is_called_at_each_change() -> None:
    house = House()
    count = [0]

    def hook() -> None:
        count[0] += 1

    house.state.on_change(hook)
    house.register("alice")
    house.log.open(ALICE, BOB, 0.0).end(1.0, 486, "")
    assert count == [3]


def test_events_are_read_with_their_parameters() -> None:
    assert event_of("presence") == ("presence", None)
    assert event_of(" dialog ; id=7;x=y") == ("dialog", "7")
    assert event_of(None) == event_of("") == ("", None)
    assert ALLOW_EVENTS[1].split(", ") == list(PACKAGES)
