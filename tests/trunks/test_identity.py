"""Who is calling whom, as it is said to and by a provider."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.errors import RemoteError
from p2psip.trunks.identity import ANONYMOUS, IDENTITIES_MAX, callee_of, caller_of, present
from tests.trunks.values import NUMBER, invite, trunk

WHO = ("alice-2", "alice@home.example")
OWN = {"caller_id": NUMBER}


def _phone(*headers: tuple[str, str], from_: str = "<sip:alice@home.example>") -> Any:
    return invite("sip:+4989@home.example", *headers, from_=from_)


def test_the_number_of_the_trunk_is_shown() -> None:
    assert str(present(trunk(**OWN), WHO, _phone()).from_) == f"<sip:{NUMBER}@provider.example>"


def test_without_a_number_the_account_is_shown() -> None:
    shown = present(trunk(identity="asserted"), WHO, _phone())
    assert str(shown.from_) == "<sip:4930123@provider.example>"
    assert not shown.headers


@pytest.mark.parametrize(
    ("identity", "field"), [("asserted", "P-Asserted-Identity"), ("preferred", "P-Preferred-Identity")]
)
def test_a_provider_may_want_the_account_in_from_and_the_number_beside_it(identity: str, field: str) -> None:
    shown = present(trunk(identity=identity, **OWN), WHO, _phone())
    assert str(shown.from_) == "<sip:4930123@provider.example>"
    assert shown.headers == ((field, f"<sip:{NUMBER}@provider.example>"),)


def test_numbers_are_shown_in_the_style_of_the_provider() -> None:
    assert "sip:030123456@" in str(present(trunk(number_style="national", **OWN), WHO, _phone()).from_)


def test_a_phone_has_the_first_of_its_numbers_and_may_choose_among_them() -> None:
    mine = trunk(caller_ids={"alice-2": ("+49301", "+49302"), "alice@home.example": ("+49303",)}, **OWN)
    assert "+49301@" in str(present(mine, WHO, _phone()).from_)
    assert "+49303@" in str(present(mine, WHO[1:], _phone()).from_)
    wish = ("P-Preferred-Identity", "<tel:+49302>")
    assert "+49302@" in str(present(mine, WHO, _phone(wish)).from_)


def test_a_number_that_is_not_allowed_is_not_shown() -> None:
    wish = ("P-Preferred-Identity", "<tel:+49110>")
    mine = trunk(caller_ids={"alice-2": ("+49301",)}, **OWN)
    assert "+49301@" in str(present(mine, WHO, _phone(wish)).from_)
    assert f"{NUMBER}@" in str(present(mine, ("bob@home.example",), _phone(wish)).from_)


@pytest.mark.parametrize(
    ("headers", "from_"),
    [([("Privacy", "id")], "<sip:alice@home.example>"), ([], "<sip:anonymous@anonymous.invalid>")],
)
def test_who_wants_to_be_anonymous_is_so_to_the_called_and_not_to_the_provider(
    headers: list[tuple[str, str]], from_: str
) -> None:
    shown = present(trunk(**OWN), WHO, _phone(*headers, from_=from_))
    assert str(shown.from_) == f'"Anonymous" <sip:{ANONYMOUS}>'
    assert ("P-Preferred-Identity", f"<sip:{NUMBER}@provider.example>") in shown.headers
    assert ("Privacy", "id") in shown.headers


@pytest.mark.parametrize(
    ("headers", "from_", "caller", "display"),
    [
        ([], '"Bob" <sip:+4989555@provider.example>', "+4989555@provider.example", "Bob"),
        ([], "<sip:089555@10.0.0.1>", "+4989555@provider.example", None),
        ([("P-Asserted-Identity", "<tel:+4989777>")], "<sip:x@y.example>", "+4989777@provider.example", None),
        ([("Privacy", "id")], "<sip:+4989555@provider.example>", ANONYMOUS, "Anonymous"),
        ([], "<sip:anonymous@anonymous.invalid>", ANONYMOUS, "Anonymous"),
        ([("P-Asserted-Identity", "<<<")], "<sip:+4989555@p.example>", "+4989555@provider.example", None),
        ([], "<sip:alice@home.example>", "alice@provider.example", None),
    ],
)
def test_who_calls(headers: list[tuple[str, str]], from_: str, caller: str, display: str | None) -> None:
    assert caller_of(trunk(), invite("sip:x@192.0.2.1", *headers, from_=from_)) == (caller, display)


@pytest.mark.parametrize(
    ("uri", "headers", "to"),
    [
        (f"sip:{NUMBER}@192.0.2.1", [], "sip:other@provider.example"),
        ("sip:030123456@192.0.2.1", [], "sip:other@provider.example"),
        (f"tel:{NUMBER}", [], "sip:other@provider.example"),
        ("sip:4930123@192.0.2.1", [("P-Called-Party-ID", f"<sip:{NUMBER}@p.example>")], "sip:x@p.example"),
        ("sip:4930123@192.0.2.1", [], "sip:004930123456@provider.example"),
    ],
)
def test_whose_number_was_called(uri: str, headers: list[tuple[str, str]], to: str) -> None:
    assert callee_of(trunk(), invite(uri, *headers, to=to)) == "alice@home.example"


def test_an_unknown_number_goes_to_the_default_or_is_nobodys() -> None:
    request = invite("sip:4930123@192.0.2.1", to="sip:+4930999@provider.example")
    assert callee_of(trunk(default="bob@home.example"), request) == "bob@home.example"
    with pytest.raises(RemoteError, match=r"the number \+4930999 of trunk provider is nobody's here") as error:
        callee_of(trunk(), request)
    assert error.value.status == 404


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=60)
_PIECES = st.lists(st.sampled_from(['"', "<", ">", "sip:", "tel:", "+49", "@", ";", ",", "x", "%41", " "]), max_size=12)


@given(st.one_of(_TEXT, _PIECES.map("".join)), st.one_of(_TEXT, _PIECES.map("".join)))
def test_whatever_a_provider_writes_is_read_or_refused(one: str, other: str) -> None:
    request = invite("sip:x@192.0.2.1", ("P-Asserted-Identity", one), ("P-Called-Party-ID", other), ("Privacy", other))
    request.headers.set("From", one or "x")
    request.headers.set("To", other or "x")
    for read in (callee_of, caller_of):
        try:
            found = read(trunk(), request)
        except RemoteError:
            continue
        assert found
    try:
        shown = present(trunk(**OWN), WHO, request)
    except RemoteError:
        return
    assert not any("\n" in value for _name, value in shown.headers)


def test_so_many_identities_are_read_and_no_more() -> None:
    wishes = ", ".join(f"<tel:+4930{number}>" for number in range(IDENTITIES_MAX + 1))
    mine = trunk(caller_ids={"alice-2": ("+49301", f"+4930{IDENTITIES_MAX}")})
    assert "+49301@" in str(present(mine, WHO, _phone(("P-Preferred-Identity", wishes))).from_)
