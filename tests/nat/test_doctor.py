"""What the doctor says behind every kind of NAT, proved by a call that others try from outside."""

from pathlib import Path

import pytest

from p2psip.app.doctor import DoctorFacts, can_be_called, findings
from p2psip.app.examination import read_facts
from tests.nat.kinds import Kind
from tests.nat.lab import Plan
from tests.nat.town import town

DOCTOR_SECONDS_MAX = 240
SAID_OF_NAT = {
    Kind.PUBLIC: "There is no NAT",
    Kind.FULL_CONE: "one outer address for everybody",
    Kind.ADDRESS_RESTRICTED: "one outer address",
    Kind.PORT_RESTRICTED: "one outer address",
    Kind.SYMMETRIC: "symmetric NAT",
}


def said(facts: DoctorFacts, topic: str) -> str:
    """The sentence about a topic, with the advice."""
    return next(f"{each.sentence} {each.advice}" for each in findings(facts) if each.topic == topic)


@pytest.mark.nat
@pytest.mark.timeout(DOCTOR_SECONDS_MAX)
async def test_what_the_doctor_says_of_each_kind_of_nat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [*SAID_OF_NAT, Kind.UDP_BLOCKED]
    wrong = []
    async with town(tmp_path, [Plan(f"home{number}", kind) for number, kind in enumerate(kinds)]) as built:
        for house in built.houses.values():
            facts = read_facts(await house.ask("doctor"))
            told = [f"  {each.severity}: {each.sentence} {each.advice}" for each in findings(facts)]
            with capsys.disabled():
                print(f"\n{house.site.kind.value}:", *told, sep="\n")
            expected = {"NAT": SAID_OF_NAT.get(house.site.kind, ""), "calls": "can be called now: somebody outside"}
            if house.site.kind is Kind.UDP_BLOCKED:
                expected = {
                    "UDP": "UDP is blocked",
                    "calls": "can be called now",
                    "super-nodes": "over tls",
                    "NAT": "cannot be seen",
                }
            elif facts.is_client:
                expected |= {"super-nodes": "Attached to 3 super-node(s)", "router": f"Forward UDP port {facts.port}"}
            wrong += [
                f"{house.site.kind.value}: {said(facts, topic)}"
                for topic, words in expected.items()
                if words not in said(facts, topic)
            ]
            wrong += [] if can_be_called(facts) else [f"{house.site.kind.value} cannot be called"]
    assert wrong == []
