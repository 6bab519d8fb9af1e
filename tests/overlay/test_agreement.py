"""How many answers must agree, and on what."""

from overlay.agreement import AGREEING_ANSWERS, AGREEING_IF_FRESH, Agreement, Authored
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE, BOB = TOWN.device("alice"), TOWN.device("bob")


def authored(sequence: int, *, seconds: int = 600, kind: str = "registration", body: bytes | None = b"") -> Authored:
    return ALICE.record(sequence, kind=kind, expiry=UNIX + seconds, body=body), ALICE.certificate


def votes_until_the_end(agreement: Agreement, shown: list[Authored]) -> int:
    for count in range(1, 10):
        if agreement.add(shown, count):
            return count
    return 0


def test_two_agree_on_a_record_in_the_first_half_of_its_life_and_three_on_an_older_one() -> None:
    assert votes_until_the_end(Agreement(unix=UNIX), [authored(1, seconds=300)]) == AGREEING_IF_FRESH
    assert votes_until_the_end(Agreement(unix=UNIX), [authored(1, seconds=299)]) == AGREEING_ANSWERS
    assert votes_until_the_end(Agreement(), [authored(1)]) == AGREEING_ANSWERS


def test_a_thorough_search_wants_all_votes() -> None:
    agreement = Agreement(unix=UNIX)
    results = [agreement.add([authored(1)], voter, is_thorough=True) for voter in range(AGREEING_ANSWERS)]
    assert results == [False, False, True]


def test_a_voter_counts_once() -> None:
    agreement = Agreement(unix=UNIX)
    assert not any(agreement.add([authored(1)], "20.0.0.0/24") for _ in range(5))
    assert agreement.add([authored(1)], "20.0.1.0/24")


def test_a_withdrawal_beats_what_it_withdraws() -> None:
    agreement = Agreement(unix=UNIX)
    agreement.add([authored(1)], 1)
    assert not agreement.add([authored(2, body=None)], 2)
    assert not agreement.add([authored(1)], 3)
    assert agreement.add([authored(2, body=None)], 4)
    ((record, _author),) = agreement.newest.values()
    assert record.withdrawn


def test_a_name_is_no_find() -> None:
    agreement = Agreement(unix=UNIX)
    assert not any(agreement.add([authored(1, kind="name")], voter) for voter in range(5))
    assert not agreement.tells


def test_an_answer_that_lacks_one_of_the_devices_does_not_agree() -> None:
    agreement, bob = Agreement(unix=UNIX), (BOB.record(expiry=UNIX + 600), BOB.certificate)
    assert not agreement.add([authored(1), bob], 1)
    assert not agreement.add([authored(1)], 2)
    assert agreement.add([bob, authored(1)], 3)
