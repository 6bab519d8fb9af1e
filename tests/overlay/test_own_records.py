"""The sequences of a node's own records only grow, whatever its clock says."""

from overlay.own_records import NAME_SECONDS, NAME_SIGNED_SECONDS, OwnRecords
from overlay.records import REGISTRATION
from tests.overlay.devices import UNIX, Town

TOWN = Town()
ALICE, MALLORY = TOWN.device("alice"), TOWN.device("mallory")
KEY = bytes(20)


def own_records() -> OwnRecords:
    return OwnRecords(ALICE.certificate, ALICE.signing_key)


def test_a_record_follows_all_before_even_if_the_clock_goes_back() -> None:
    own = own_records()
    clocks = (float(UNIX), float(UNIX), UNIX - 3_600.0, UNIX + 1.0)
    made = [own.make(REGISTRATION, KEY, b"", UNIX + 600, unix).sequence for unix in clocks]
    assert made == [UNIX * 1000, UNIX * 1000 + 1, UNIX * 1000 + 2, UNIX * 1000 + 1_000]


def test_it_goes_on_from_what_is_found_of_its_own_and_of_nobody_else() -> None:
    own = own_records()
    own.make(REGISTRATION, KEY, b"", UNIX + 600, UNIX)
    later = (UNIX + 7_200) * 1000
    assert not own.catch_up([(MALLORY.record(later), MALLORY.certificate), (ALICE.record(5), ALICE.certificate)])
    assert own.catch_up([(ALICE.record(later), ALICE.certificate)])
    assert own.make(REGISTRATION, KEY, b"", UNIX + 600, UNIX).sequence == later + 1


def test_a_name_is_signed_once_a_day_and_anew_once_we_were_behind() -> None:
    own = own_records()
    first = own.name(KEY, UNIX)
    assert first.expiry == UNIX + NAME_SECONDS
    assert own.name(KEY, UNIX + NAME_SIGNED_SECONDS) is first
    assert own.name(KEY, UNIX + NAME_SIGNED_SECONDS + 1) is not first
    own.catch_up([(ALICE.record((UNIX + 90_000) * 1000), ALICE.certificate)])
    assert own.name(KEY, UNIX + NAME_SIGNED_SECONDS + 1).sequence > (UNIX + 90_000) * 1000
