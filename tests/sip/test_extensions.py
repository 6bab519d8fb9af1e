"""Header fields of RFC 3262 and RFC 4028, and lists of tokens: what is read, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.extensions import (
    RSEQ_MAX,
    SESSION_SECONDS_MAX,
    TOKENS_MAX,
    RAck,
    SessionExpires,
    min_se_of,
    rseq_of,
    tokens,
)
from p2psip.sip.headers import Headers


def headers(*lines: tuple[str, str]) -> Headers:
    return Headers(lines)


def test_tokens_of_all_lines_and_what_is_none_left_out() -> None:
    found = tokens(headers(("k", "100rel, timer"), ("Supported", " replaces ,,a b"), ("Require", "other")), "Supported")
    assert found == {"100rel", "timer", "replaces"}
    assert tokens(headers(), "Supported") == frozenset()


def test_there_may_be_so_many_tokens_and_no_more() -> None:
    listed = ",".join(f"t{number}" for number in range(TOKENS_MAX + 1))
    assert len(tokens(headers(("Allow", listed)), "Allow")) == TOKENS_MAX


def test_the_example_of_rfc_3262() -> None:
    """§7.2."""
    rack = RAck.of(headers(("RAck", "776656 1 INVITE")))
    assert (rack, str(rack)) == (RAck(776656, 1, "INVITE"), "776656 1 INVITE")


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("1 1 INVITE", "1 1 INVITE"),
        ("",),
        ("1 INVITE",),
        ("0 1 INVITE",),
        (f"{RSEQ_MAX + 1} 1 INVITE",),
        (f"1 {RSEQ_MAX + 1} INVITE",),
        ("1 1 INV ITE",),
        ("-1 1 INVITE",),
    ],
)
def test_what_is_no_rack_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(SipSyntaxError):
        RAck.of(headers(*[("RAck", line) for line in lines]))


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), (str(RSEQ_MAX), RSEQ_MAX), ("0", None), (str(RSEQ_MAX + 1), None), ("x", None), ("²", None), ("", None)],
)
def test_response_numbers(text: str, number: int | None) -> None:
    assert rseq_of(headers(("RSeq", text))) == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4000", SessionExpires(4000)),
        ("4000;refresher=uac", SessionExpires(4000, "uac")),
        (" 90 ; Refresher=UAS ; more=1", SessionExpires(90, "uas")),
        ("90;refresher=nobody", SessionExpires(90)),
        (str(SESSION_SECONDS_MAX), SessionExpires(SESSION_SECONDS_MAX)),
    ],
)
def test_session_intervals(text: str, value: SessionExpires) -> None:
    assert SessionExpires.of(headers(("x", text))) == value
    assert SessionExpires.of(headers(("Session-Expires", str(value)))) == value


@pytest.mark.parametrize("text", ["", "soon", "-1", "9" * 11, str(SESSION_SECONDS_MAX + 1), "90 refresher=uac"])
def test_what_is_no_session_interval_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        SessionExpires.of(headers(("Session-Expires", text)))


def test_a_missing_interval_is_none_and_the_least_may_be_anything() -> None:
    assert SessionExpires.of(headers()) is None
    assert [min_se_of(headers(("Min-SE", text))) for text in ("120", "120;x=y", "x", "")] == [120, 120, None, None]
    assert min_se_of(headers()) is None


@given(st.text(max_size=80))
def test_whatever_stands_there_gives_a_value_or_a_syntax_error(text: str) -> None:
    lines = headers(*[(name, text) for name in ("RAck", "RSeq", "Session-Expires", "Min-SE", "Supported")])
    tokens(lines, "Supported")
    rseq_of(lines)
    min_se_of(lines)
    for read in (RAck.of, SessionExpires.of):
        try:
            value = read(lines)
        except SipSyntaxError:
            continue
        name = "RAck" if read is RAck.of else "Session-Expires"
        assert read(headers((name, str(value)))) == value
