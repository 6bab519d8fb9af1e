"""Two results side by side: what differs is named, what is missing in one is no error."""

from simulations.compare import compare, comparison_text
from simulations.results import Check, Figure, Result


def test_figures_and_checks_are_paired_by_name() -> None:
    first = Result("churn", 1, trace_hash="a", parameters={"peers": 10, "minutes": 5.0}, sealing="real")
    first.figures = [Figure("found", 0.5, "share"), Figure("way", "direct"), Figure("only here", 0)]
    first.checks = [Check("holds", True), Check("bounds", True)]
    second = Result("churn", 2, trace_hash="b", parameters={"peers": 10, "minutes": 6.0}, sealing="real")
    second.figures = [Figure("found", 0.75, "share"), Figure("way", "relayed"), Figure("only there", 3)]
    second.checks = [Check("holds", False, "it broke"), Check("bounds", True)]
    compared = compare(first, second)
    assert compared.parameters == [("seed", 1, 2), ("minutes", 5.0, 6.0)]
    assert [(pair.name, pair.difference, pair.ratio) for pair in compared.figures] == [
        ("found", 0.25, 1.5),
        ("way", None, None),
        ("only here", None, None),
        ("only there", None, None),
    ]
    assert [pair.name for pair in compared.checks if pair.changed] == ["holds"]
    assert comparison_text(compared).splitlines() == [
        "seed: 1 -> 2",
        "minutes: 5.0 -> 6.0",
        "            first  second  unit   difference  ratio",
        "found         0.5    0.75  share       +0.25    1.5",
        "way                        direct -> relayed",
        "only here       0       –",
        "only there      –       3",
        "check holds: passed -> failed",
        "the traces differ",
    ]


def test_a_result_is_the_same_as_itself() -> None:
    result = Result("churn", 1, trace_hash="a")
    assert compare(result, result).same_trace
    assert not compare(Result("churn", 1), Result("churn", 1)).same_trace
