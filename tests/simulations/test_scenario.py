"""Scenarios are found by name, and their parameters fit or are refused with words."""

import pytest

import simulations.scenarios
from simulations.run import Run, run_scenario
from simulations.scenario import ScenarioError, find_scenario, scenario, scenarios


@scenario("test-parameters")
def _parameters(run: Run, *, peers: int = 10, minutes: float = 1.5, quick: bool = False, kind: str = "kad") -> None:
    """Shows nothing.

    More words.
    """


def test_a_scenario_is_found_with_its_first_line_and_defaults() -> None:
    found = find_scenario("test-parameters")
    assert found.summary == "Shows nothing."
    assert dict(found.defaults) == {"peers": 10, "minutes": 1.5, "quick": False, "kind": "kad"}
    assert found in scenarios()


def test_texts_are_converted_to_the_type_of_the_default() -> None:
    given = {"peers": "1e3", "minutes": "2", "quick": "yes", "kind": "bittorrent"}
    assert find_scenario("test-parameters").parameters(given) == {
        "peers": 1000,
        "minutes": 2.0,
        "quick": True,
        "kind": "bittorrent",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"peer": 1}, "has no parameter peer; it has peers, minutes, quick, kind"),
        ({"peers": "many"}, "peers must be a whole number, not 'many'"),
        ({"peers": "1.5"}, "peers must be a whole number"),
        ({"peers": "inf"}, "peers must be a whole number"),
        ({"peers": True}, "peers must be a whole number"),
        ({"minutes": "x"}, "minutes must be a number"),
        ({"minutes": "nan"}, "minutes must be a number"),
        ({"minutes": float("inf")}, "minutes must be a number"),
        ({"peers": -1}, "peers must not be negative"),
        ({"quick": "perhaps"}, "quick must be true or false"),
    ],
)
def test_what_does_not_fit_is_refused_with_words(given: dict[str, object], words: str) -> None:
    with pytest.raises(ScenarioError, match=words.replace("(", r"\(")):
        find_scenario("test-parameters").parameters(given)


def test_an_unknown_scenario_is_told_the_names() -> None:
    with pytest.raises(ScenarioError, match=r"there is no scenario nothing; there are .*test-parameters"):
        find_scenario("nothing")


def test_a_parameter_needs_a_default_and_a_name() -> None:
    with pytest.raises(ScenarioError, match="peers of scenario test-bad must be keyword-only"):

        @scenario("test-bad")
        def _bad(run: Run, peers: int) -> None:
            """Never registered."""


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("churn", {"sessions_like": "x"}, "sessions_like must be one of kad"),
        ("churn", {"session_minutes": 0}, "session_minutes must be more than 0"),
        ("hostile", {"attack": "x"}, "attack must be one of drop"),
        ("hostile", {"share": 1}, "share must be less than 1"),
        ("lookups", {"per_second": 0}, "per_second must be more than 0"),
        ("flash-crowd", {"newcomers": 0}, "newcomers must be more than 0"),
        ("sybil", {"victims": 0}, "victims must be more than 0"),
    ],
)
def test_what_a_scenario_cannot_run_with_is_refused_before_it_begins(
    name: str, given: dict[str, object], words: str
) -> None:
    assert simulations.scenarios.__all__
    with pytest.raises(ScenarioError, match=words):
        run_scenario(name, given, 1)
