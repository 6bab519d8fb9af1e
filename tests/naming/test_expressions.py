"""Expressions of strangers: what they match, what is refused, and that none of them runs for long."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.naming.expression_syntax import (
    EXPRESSION_CHARACTERS_MAX,
    GROUPS_MAX,
    REPETITIONS_MAX,
    ExpressionError,
)
from p2psip.naming.expressions import INSTRUCTIONS_MAX, TEXT_CHARACTERS_MAX, Expression


@pytest.mark.parametrize(
    ("expression", "text", "spans"),
    [
        ("^.*$", "+4930", (0, 5)),
        (r"^\+46(.*)$", "+468123", (0, 7, 3, 7)),
        ("^+46(.*)$", "+468123", (0, 7, 3, 7)),
        ("(^+46)(8?)", "+4681", (0, 4, 0, 3, 3, 4)),
        ("(a|ab)(c|bcd)(d*)", "abcd", (0, 4, 0, 1, 1, 4, 4, 4)),
        ("a|ab|abc", "abcd", (0, 3)),
        ("(a*)*", "aaa", (0, 3, 0, 3)),
        ("x{2,3}", "xxxx", (0, 3)),
        ("x{2}", "xxxx", (0, 2)),
        ("x{2,}", "xxxx", (0, 4)),
        ("[[:digit:]]+$", "ab12", (2, 4)),
        ("[]a]+", "]a", (0, 2)),
        ("[^]a]", "b", (0, 1)),
        ("[a-]+", "-a-", (0, 3)),
        ("(a)|b", "b", (0, 1, -1, -1)),
        ("b", "abc", (1, 2)),
        ("", "abc", (0, 0)),
        ("()", "", (0, 0, 0, 0)),
        (r"\.\+", ".+", (0, 2)),
        ("a?b", "b", (0, 1)),
    ],
)
def test_the_longest_match_from_the_earliest_start(expression: str, text: str, spans: tuple[int, ...]) -> None:
    assert Expression(expression).search(text) == spans


def test_what_does_not_match() -> None:
    assert Expression(r"^\+47").search("+4930") is None
    assert Expression("abc").search("ABC") is None
    assert Expression("aBc", fold=True).search("AbC") == (0, 3)


@pytest.mark.parametrize(
    "expression",
    [
        "(",
        ")",
        "a)",
        "[a",
        "[[:nothing:]]",
        "[[.a.]]",
        "[z-a]",
        "*a",
        "a{",
        "a{3,2}",
        "a{x}",
        "a{,3}",
        "a|*",
        "\\",
        r"\d",
        r"(a)\1",
        "{1}",
        "a" * (EXPRESSION_CHARACTERS_MAX + 1),
        f"a{{{REPETITIONS_MAX + 1}}}",
        "()" * (GROUPS_MAX + 1),
        "a{60}{60}",
    ],
)
def test_what_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(expression)


def test_bounds_are_exact() -> None:
    Expression("a" * EXPRESSION_CHARACTERS_MAX)
    Expression(f"a{{{REPETITIONS_MAX}}}")
    Expression("()" * GROUPS_MAX)
    Expression("(" * GROUPS_MAX + ")" * GROUPS_MAX)
    with pytest.raises(ExpressionError):
        Expression("a").search("a" * (TEXT_CHARACTERS_MAX + 1))


@pytest.mark.parametrize(
    "expression", ["((((a*)*)*)*)*b", "(a|aa|aaa)*b", "(((a{9}){9}){9})*", "(.*)(.*)(.*)(.*)(.*)b"]
)
def test_what_makes_others_run_for_ever_costs_little(expression: str) -> None:
    start = time.process_time()
    assert Expression(expression).search("a" * TEXT_CHARACTERS_MAX) in (None, (0, 0, -1, -1, -1, -1, -1, -1))
    assert time.process_time() - start < 1.0
    assert INSTRUCTIONS_MAX <= 1_000


simple = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "?", "+", "{1,2}"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
    ),
    max_leaves=6,
)


@given(simple, st.text("ab", max_size=8))
def test_whole_texts_match_as_in_another_implementation(expression: str, text: str) -> None:
    if expression.count("(") > GROUPS_MAX:
        return
    ours = Expression(f"^{expression}$").search(text) is not None
    assert ours == (re.fullmatch(expression, text) is not None)


@given(st.text("()[]{}*+?|^$.\\a1,-:", max_size=40), st.text("+0123456789", max_size=16))
def test_anything_is_an_expression_or_an_error(expression: str, text: str) -> None:
    try:
        found = Expression(expression).search(text)
    except ExpressionError:
        return
    if found is not None:
        assert 0 <= found[0] <= found[1] <= len(text)
