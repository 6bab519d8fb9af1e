"""The dial plan: how numbers are read, where they go, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.naming.countries import COUNTRIES
from p2psip.naming.dial_plan import DialPlan, Plan
from p2psip.naming.dial_rules import Pattern, Rule

ALICE = "alice@home.example"
GERMAN = DialPlan(
    "home.example",
    is_configured=True,
    country=COUNTRIES["DE"],
    enum_roots=("e164.arpa", "private.example"),
    trunks=("first", "second"),
    allowed=frozenset({"DE", "+44"}),
    area_code="30",
)


def rule(match: str, **changes: object) -> Rule:
    return replace(Rule("r", Pattern.parse(match)), **changes)  # type: ignore[arg-type]


def stages(plan: Plan) -> list[tuple[str, str]]:
    return [(choice.stage, choice.what) for choice in plan.choices]


@pytest.mark.parametrize(
    ("country", "text", "number"),
    [
        ("DE", "+49301234567", "+49301234567"),
        ("DE", "0049301234567", "+49301234567"),
        ("DE", "0301234567", "+49301234567"),
        ("DE", "1234567", "+49301234567"),
        ("DE", "1234", None),
        ("DE", "+0301234567", None),
        ("DE", "+999123456789", None),
        ("DE", "*99", None),
        ("US", "2025550123", "+12025550123"),
        ("US", "12025550123", "+12025550123"),
        ("US", "01149301234567", "+49301234567"),
        ("GB", "02079460000", "+442079460000"),
        ("IT", "0612345678", "+390612345678"),
        ("ES", "912345678", "+34912345678"),
        ("HU", "0612345678", "+3612345678"),
        ("RU", "84951234567", "+74951234567"),
        ("RU", "81049301234567", "+49301234567"),
        ("FI", "99049301234567", "+49301234567"),
        ("AU", "001149301234567", "+49301234567"),
        ("DK", "12345678", "+4512345678"),
    ],
)
def test_numbers_are_read_by_the_habits_of_the_country(country: str, text: str, number: str | None) -> None:
    plan = replace(GERMAN, country=COUNTRIES[country], area_code="30" if country == "DE" else "")
    assert plan.number_of(text) == number


def test_without_a_dial_plan_only_this_node_and_the_overlay_are_asked() -> None:
    plan = DialPlan("home.example").plan("0301234567", ALICE)
    assert stages(plan) == [("local", "0301234567@home.example"), ("overlay", "0301234567@home.example")]
    assert plan.refused is None
    assert DialPlan("home.example").plan_domain("sip:a@b.example", "b.example").refused is not None


def test_names_stay_in_the_overlay() -> None:
    assert stages(GERMAN.plan("bob", ALICE)) == [("local", "bob@home.example"), ("overlay", "bob@home.example")]


def test_the_order_with_both_spellings_of_a_number() -> None:
    plan = GERMAN.plan("030 1234567", ALICE)
    assert plan.number == "+49301234567"
    assert stages(plan) == [
        ("local", "0301234567@home.example"),
        ("local", "+49301234567@home.example"),
        ("overlay", "0301234567@home.example"),
        ("overlay", "+49301234567@home.example"),
        ("enum", "e164.arpa"),
        ("enum", "private.example"),
        ("trunk", "first"),
        ("trunk", "second"),
    ]
    assert plan.choices[-1].user == "+49301234567"
    other = replace(GERMAN, order=("trunk", "overlay"))
    assert [choice.stage for choice in other.plan("+49301234567", ALICE).choices] == ["trunk", "trunk", "overlay"]


def test_an_extension_is_left_to_those_who_know_whether_it_exists() -> None:
    plan = GERMAN.plan("1001", ALICE)
    assert {choice.stage for choice in plan.choices} == {"local", "overlay"}
    assert plan.refused is None


def test_without_a_trunk_nothing_is_refused_that_nobody_would_pay_for() -> None:
    plan = replace(GERMAN, trunks=()).plan("+33123456789", ALICE)
    assert plan.refused is None
    assert "no trunk" in plan.notes[-1]


def test_an_outside_line_asks_nobody_here() -> None:
    plan = replace(GERMAN, outside_prefix="9").plan("90301234567", ALICE)
    assert {choice.stage for choice in plan.choices} == {"enum", "trunk"}
    assert replace(GERMAN, outside_prefix="9").plan("9110", ALICE).is_emergency


@pytest.mark.parametrize("text", ["110", "112", "911", "+49110", "0049112"])
def test_emergency_numbers_go_to_their_trunk_and_nowhere_else(text: str) -> None:
    plan = replace(GERMAN, emergency_trunk="land", rules=(rule("!", deny="no"),)).plan(text, ALICE)
    assert [(choice.stage, choice.what) for choice in plan.choices] == [("trunk", "land")]
    assert plan.choices[0].user == ("110" if text.endswith("110") else "112")  # 911 means nothing to a German provider
    assert plan.is_emergency
    refused = GERMAN.plan(text, ALICE)
    assert refused.choices == ()
    assert refused.refused is not None
    assert refused.refused.status == 503
    assert "another telephone" in refused.refused.words


def test_each_country_has_its_own_emergency_number() -> None:
    plan = replace(GERMAN, country=COUNTRIES["US"], emergency_trunk="land")
    assert plan.plan("112", ALICE).choices[0].user == "911"
    assert replace(GERMAN, country=None, emergency_trunk="land").plan("911", ALICE).choices[0].user == "911"


def test_an_emergency_number_without_a_plan_fails_with_clear_words_unless_somebody_here_has_it() -> None:
    plan = DialPlan("home.example").plan("112", ALICE)
    assert [choice.stage for choice in plan.choices] == ["local", "overlay"]
    assert plan.refused is not None
    assert replace(GERMAN, emergency_numbers=frozenset({"1234"})).plan("1234", ALICE).is_emergency


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("09001234567", "premium"),
        ("+49900123456", "premium"),
        ("0137123456", "premium"),
        ("+18765551234", "JM"),
        ("+33123456789", "FR"),
        ("+979123456789", "international premium"),
        ("+8812345678", "satellite"),
    ],
)
def test_what_may_cost_is_refused_after_all_that_is_free(text: str, words: str) -> None:
    plan = GERMAN.plan(text, ALICE)
    assert {choice.stage for choice in plan.choices} == {"local", "overlay", "enum"}
    assert plan.refused is not None
    assert plan.refused.status == 403
    assert words in plan.refused.words


def test_the_exchange_for_premium_numbers_of_north_america() -> None:
    plan = replace(GERMAN, country=COUNTRIES["US"], allowed=frozenset({"US"}))
    for text in ("9005550123", "2129765555"):
        refused = plan.plan(text, ALICE).refused
        assert refused is not None
        assert "premium" in refused.words
    assert plan.plan("2125550123", ALICE).refused is None
    assert plan.plan("4165550123", ALICE).refused is not None  # Canada


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("+490449012345678", 404),
        ("+49(0)30 1234567", 404),
        ("+490900123456", 403),
        ("+49(0)900123456", 403),
        ("00490900123456", 403),
        ("+4409098123456", 403),
        ("+442079460000", 0),
        ("+49301234567", 0),
        ("+3606123456", 404),
        ("+390612345678", 0),
        ("+78121234567", 0),
        ("+78809123456", 403),
        ("+112025550123", 404),
        ("+119005550123", 403),
        ("+112029760123", 403),
    ],
)
def test_a_national_prefix_behind_the_country_code_passes_no_guard(text: str, status: int) -> None:
    refused = replace(GERMAN, allowed=frozenset({"*"})).plan(text, ALICE).refused
    assert (0 if refused is None else refused.status) == status


def test_no_rule_and_no_enum_leads_past_the_guard_for_national_prefixes() -> None:
    for changed in (rule("77.", number="+490{rest}"), rule("+49.", premium=True)):
        plan = replace(GERMAN, rules=(changed,))
        for dialled in ("7730123456", "+49030123456"):
            if changed.pattern.rest(dialled, dialled) is not None:
                found = plan.plan(dialled, ALICE)
                assert found.refused is not None
                assert "trunk" not in [choice.stage for choice in found.choices]
    further = GERMAN.plan_further("+490900123456", ALICE)
    assert further.refused is not None
    assert not [choice for choice in further.choices if choice.stage == "trunk"]


def test_a_rule_opens_a_country_or_premium_numbers_only_if_it_names_them() -> None:
    france, everything = rule("+33.", trunks=("first",)), rule("+.", trunks=("first",))
    assert stages(replace(GERMAN, rules=(france,)).plan("+33123456789", ALICE))[-1] == ("trunk", "first")
    assert replace(GERMAN, rules=(everything,)).plan("+33123456789", ALICE).refused is not None
    assert replace(GERMAN, rules=(rule("0033."),)).plan("0033123456789", ALICE).refused is None
    premium = rule("+49900.", premium=True)
    assert replace(GERMAN, rules=(premium,)).plan("0900123456", ALICE).refused is None
    assert replace(GERMAN, rules=(rule("+49900."),)).plan("0900123456", ALICE).refused is not None
    assert (
        replace(GERMAN, rules=(rule("X."),)).plan("0900", ALICE).refused is not None
    )  # no number, but it looks like one


def test_rules_in_order_for_those_who_may() -> None:
    plan = replace(
        GERMAN,
        rules=(
            rule("+44.", name="own", callers=frozenset({"carol@home.example"}), trunks=("gold",)),
            rule("+44.", name="no", deny="only carol calls Britain"),
        ),
    )
    assert stages(plan.plan("+442079460000", "Carol@home.example"))[-1] == ("trunk", "gold")
    refused = plan.plan("+442079460000", ALICE).refused
    assert refused is not None
    assert "only carol" in refused.words


def test_rules_rewrite() -> None:
    peering = replace(GERMAN, rules=(rule("*747.", target="sip:{rest}@peer.example"),)).plan("*74755", ALICE)
    assert stages(peering) == [("domain", "sip:55@peer.example")]
    short = replace(GERMAN, rules=(rule("*1X", number="+4930999{rest}"),)).plan("*15", ALICE)
    assert short.number == "+49309995"
    dialled = replace(GERMAN, rules=(rule("118X.", dial="{dialled}", trunks=("first",)),)).plan("11833", ALICE)
    assert dialled.choices[-1].user == "11833"
    wrong = replace(GERMAN, rules=(rule("*1X", number="0{rest}"),)).plan("*15", ALICE)
    assert wrong.refused is not None
    assert wrong.refused.status == 404
    sneaky = replace(GERMAN, rules=(rule("*1.", number="+49900{rest}"),)).plan("*1123456", ALICE)
    assert sneaky.refused is not None  # what it means is guarded, not what was dialled


def test_a_member_with_a_trunk() -> None:
    plan = replace(GERMAN, rules=(rule("+44.", via="bob@home.example"),))
    last = plan.plan("+442079460000", ALICE).choices[-1]
    assert (last.stage, last.what, last.is_via) == ("trunk", "bob@home.example", True)


def test_the_own_number_does_not_leave() -> None:
    plan = replace(GERMAN, own_numbers={"+49301234567": "bob@home.example"}).plan("0301234567", ALICE)
    assert stages(plan) == [("local", "bob@home.example"), ("overlay", "bob@home.example")]


def test_a_number_that_enum_leads_to_has_all_guards_and_no_people() -> None:
    plan = GERMAN.plan_further("+49309876543", ALICE)
    assert {choice.stage for choice in plan.choices} == {"enum", "trunk"}
    for number in ("+49900123456", "+18765551234", "+49112", "12", "+1"):
        refused = GERMAN.plan_further(number, ALICE)
        assert all(choice.stage != "trunk" for choice in refused.choices)
        assert refused.refused is not None


def test_domains() -> None:
    plan = replace(GERMAN, domains=("peer.example", "*.friends.example"))
    for host, allowed in (
        ("peer.example", True),
        ("PEER.example.", True),
        ("sub.peer.example", False),
        ("a.friends.example", True),
        ("friends.example", False),
        ("evilfriends.example", False),
    ):
        assert (plan.plan_domain(f"sip:a@{host}", host).refused is None) is allowed
    everybody = replace(GERMAN, domains=("*",))
    assert everybody.plan_domain("sip:a@x.example", "x.example").refused is None
    assert replace(everybody, order=("overlay",)).plan_domain("sip:a@x.example", "x.example").refused is not None


@given(st.text("+*#0123456789 -a", max_size=24))
def test_no_trunk_is_ever_asked_for_what_is_not_allowed(text: str) -> None:
    plan = GERMAN.plan(text, ALICE)
    if any(choice.stage == "trunk" for choice in plan.choices):
        assert plan.number is not None
        assert plan.number.startswith(("+49", "+44"))
        assert GERMAN.premium_of(plan.number) is None
