"""Numbers whose kind the tables must know, each as a regulator has published it."""

import pytest

from p2psip.naming.countries import COUNTRIES, EMERGENCY_SOMEWHERE
from p2psip.naming.dial_plan import DialPlan
from p2psip.naming.numbers import owner_of

PLAN = DialPlan("home.example")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("+49900123456", "0900 of Germany"),
        ("+33892123456", "the 089 numbers of France"),
        ("+33836656565", "and its older ones"),
        ("+441187", "directory enquiries in Britain"),
        ("+447012345678", "personal numbers there"),
        ("+3531550123456", "1550 in Ireland"),
        ("+353155012345678", "with digits too many"),
        ("+31900123456", "0900 in the Netherlands"),
        ("+390878123456", "0878 in Italy"),
        ("+46649123456", "0649 in Sweden"),
        ("+351648123456", "648 in Portugal"),
        ("+27901234567", "090 in South Africa"),
        ("+5490012345", ""),
        ("+546041234567", "0604 in Argentina"),
        ("+6490123456", "0900 in New Zealand"),
        ("+886201234567", "020 in Taiwan"),
        ("+97212001234567", "1200 in Israel"),
    ],
)
def test_numbers_that_cost_more_than_a_call(number: str, words: str) -> None:
    assert (PLAN.premium_of(number) is not None) is bool(words), words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("+441189123456", "Reading, whose area code is that of directory enquiries"),
        ("+35315012345", "Dublin"),
        ("+3531800123456", "freephone in Ireland"),
        ("+31182123456", "Gouda"),
        ("+3529080123", "Luxembourg"),
        ("+33801234567", "freephone in France"),
        ("+393331234567", "a mobile telephone in Italy"),
        ("+48300123", "Poland, of fewer digits than 300 numbers"),
    ],
)
def test_ordinary_numbers_that_begin_like_them(number: str, words: str) -> None:
    assert PLAN.premium_of(number) is None, words


@pytest.mark.parametrize(
    ("number", "owner"),
    [
        ("+447911123456", "GG"),
        ("+447911223456", "GB"),
        ("+447700312345", "JE"),
        ("+447700912345", "GB"),
        ("+447924123456", "IM"),
        ("+12731234567", "CA"),
        ("+262268912345", "YT"),
        ("+262262123456", "RE"),
        ("+18091234567", "DO"),
        ("+77011234567", "KZ"),
        ("+3906698123", "VA"),
    ],
)
def test_territories_within_the_code_of_another(number: str, owner: str) -> None:
    assert owner_of(number) == owner


@pytest.mark.parametrize(
    ("country", "numbers"),
    [
        ("RU", "01 02 03 112"),
        ("CO", "123 119 132"),
        ("BR", "128 190"),
        ("LT", "101 112"),
        ("FR", "15 114"),
        ("SE", "90000"),
    ],
)
def test_numbers_for_help(country: str, numbers: str) -> None:
    assert set(numbers.split()) <= set(COUNTRIES[country].emergency)
    assert set(numbers.split()) <= EMERGENCY_SOMEWHERE
