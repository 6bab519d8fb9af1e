"""`[dial_plan]` and `[dns]`: what is read, and words for what is wrong."""

from pathlib import Path

import pytest

from p2psip.app.settings import SETTINGS_FILE, Settings, SettingsError, load_settings
from p2psip.app.settings_dial_plan import dial_plan_of, trunks_named
from p2psip.naming.dial_plan import RULES_MAX, DialPlan
from p2psip.naming.questions import SERVERS_MAX

WHOLE = """
[dns]
servers = ["192.0.2.53", "192.0.2.54:5353", "2001:db8::53", "[2001:db8::54]:5353"]

[dial_plan]
country = "de"
area_code = "30"
outside_prefix = "9"
national_prefix = "0"
international_prefixes = ["00", "010"]
order = ["overlay", "trunk"]
enum_roots = ["E164.arpa."]
trunks = ["gold"]
countries = ["DE", "at", "+44"]
domains = ["*.example"]
emergency_trunk = "land"
emergency_numbers = ["116117"]

[[dial_plan.rules]]
name = "hot line"
match = "+49900."
trunks = ["silver"]
premium = true
callers = ["Alice@home.example"]

[[dial_plan.rules]]
match = "*747."
target = "sip:{rest}@peer.example"

[[trunk]]
name = "gold"
server = "sip:192.0.2.1"
user = "u"
[[trunk]]
name = "silver"
server = "sip:192.0.2.1"
user = "u"
[[trunk]]
name = "land"
server = "sip:192.0.2.1"
user = "u"
"""


def read(folder: Path, text: str) -> Settings:
    (folder / SETTINGS_FILE).write_text(text)
    return load_settings(folder)


def plan_of(folder: Path, text: str) -> DialPlan:
    return dial_plan_of(read(folder, text).dial_plan, "home.example", {"+4930123": "a@b", "1": "c@d"})


def test_all_of_it(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    assert settings.dns.addresses() == [
        ("192.0.2.53", 53),
        ("192.0.2.54", 5353),
        ("2001:db8::53", 53),
        ("2001:db8::54", 5353),
    ]
    plan = plan_of(tmp_path, WHOLE)
    assert plan.is_configured
    assert plan.country is not None
    assert plan.country.international_prefixes == ("010", "00")
    assert (plan.enum_roots, plan.trunks, plan.order) == (("e164.arpa",), ("gold",), ("overlay", "trunk"))
    assert plan.allowed == {"DE", "AT", "+44"}
    assert plan.own_numbers == {"+4930123": "a@b"}
    assert [rule.name for rule in plan.rules] == ["hot line", "2"]
    assert plan.rules[0].callers == {"alice@home.example"}
    assert settings.dial_plan is not None
    assert trunks_named(settings.dial_plan) == {"gold", "silver", "land"}


def test_what_is_left_out_keeps_a_node_as_it_was(tmp_path: Path) -> None:
    assert not plan_of(tmp_path, "").is_configured
    empty = plan_of(tmp_path, "[dial_plan]\n")
    assert (empty.allowed, empty.trunks, empty.domains, empty.enum_roots) == (frozenset(), (), (), ())
    assert plan_of(tmp_path, '[dial_plan]\ncountry = "US"\n').allowed == {"US"}
    assert plan_of(tmp_path, '[dial_plan]\ncountry = "US"\ncountries = []\n').allowed == frozenset()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[dial_plan]\ncountry = "ZZ"', "table of countries"),
        ('[dial_plan]\ncountri = "DE"', "there are country"),
        ('[dial_plan]\narea_code = "30"', "set country"),
        ('[dial_plan]\ncountry = "DE"\narea_code = "+30"', "area_code"),
        ('[dial_plan]\ncountry = "DE"\ninternational_prefixes = [""]', "international_prefixes"),
        ('[dial_plan]\norder = ["local", "local"]', "twice"),
        ('[dial_plan]\norder = ["moon"]', "'local', 'overlay'"),
        ('[dial_plan]\nenum_roots = ["e164 arpa"]', "no domain name"),
        ('[dial_plan]\ncountries = ["Germany"]', "two letters"),
        ('[dial_plan]\nemergency_numbers = ["+112"]', "emergency_numbers"),
        ("[dial_plan]\n[[dial_plan.rules]]", "match"),
        ('[[dial_plan.rules]]\nmatch = "abc"', "no pattern"),
        ('[[dial_plan.rules]]\nmatch = "1"\ntarget = "mailto:a"', "SIP URI"),
        ('[[dial_plan.rules]]\nmatch = "1"\ntarget = "sip:{x}@y"', "fields"),
        ('[[dial_plan.rules]]\nmatch = "1"\nvia = "bob"', "address of the member"),
        ('[[dial_plan.rules]]\nmatch = "1"\nvia = "b@c"\ndeny = "no"', "via and deny"),
        ('[dial_plan]\ntrunks = ["nowhere"]', "no [[trunk]]"),
        ('[dns]\nservers = ["one.one"]', "address:port"),
        ('[dns]\nservers = ["192.0.2.1:x"]', "address:port"),
        (f"[dns]\nservers = {['192.0.2.1'] * (SERVERS_MAX + 1)}", "servers"),
        ("\n".join(['[[dial_plan.rules]]\nmatch = "1"'] * (RULES_MAX + 1)), "rules"),
        ("dial_plan = 1", "section"),
    ],
)
def test_words_for_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(tmp_path, text)
    assert words in str(error.value)


def test_the_example_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "dial-plan.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    plan = plan_of(tmp_path, example)
    assert plan.number_of("1234567") == "+49301234567"
    assert [rule.name for rule in plan.rules] == ["friends in France", "peering"]
