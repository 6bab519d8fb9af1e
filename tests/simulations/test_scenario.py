"""Scenarios are found by name, and their parameters fit or are refused with words."""

import pytest

from simulations.run import Run
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
