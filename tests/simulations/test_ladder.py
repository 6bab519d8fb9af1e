"""Ladders as text and as SVG: who said what to whom, in order, bounded in both directions."""

from simulations.ladder import COLUMNS_MAX, OTHERS, ROWS_MAX, ladder_svg, ladder_text
from tests.simulations.made_up import ladder


def test_a_ladder_is_drawn_in_text() -> None:
    lines = ladder_text(ladder()).splitlines()
    assert lines[0].split("  ")[0] == ""
    assert [name in lines[0] for name in ("node 3", "node 17", "node 40")] == [True] * 3
    assert "▶" in lines[1]
    assert "×" in lines[2]
    assert "◀" in lines[3]
    assert "answer: 8 nodes (601 bytes)" in lines[3]


def test_what_is_too_wide_becomes_a_list() -> None:
    assert ladder_text(ladder(), width=60).splitlines()[1] == "    0.000 s  node 3 -x node 40  find_value (212 bytes)"


def test_names_are_no_markup() -> None:
    svg = ladder_svg(ladder())
    assert "node &lt;5&gt;" in svg
    assert svg.count('marker-end="url(#ladder-head)"') == len(ladder())


def test_one_row_and_one_column_too_many() -> None:
    rows = [{**ladder()[0], "to": f"n{place}"} for place in range(ROWS_MAX)]
    assert "more" not in ladder_text(rows).splitlines()[-1]
    assert ladder_text([*rows, rows[0]]).splitlines()[-1] == "and 1 more"
    assert ladder_svg([*rows, rows[0]]).count("marker-end") == ROWS_MAX
    assert OTHERS in ladder_svg(rows)
    assert OTHERS not in ladder_svg(rows[: COLUMNS_MAX - 1])
