"""What lookups have found is kept for a while."""

from overlay.events import LookupDone
from overlay.found import FOUND_CACHED_MAX, FOUND_SECONDS_MAX, Found, FoundCache, read_found


def test_what_was_found_is_forgotten_after_a_while_and_beyond_a_number() -> None:
    cache, found = FoundCache(), Found((), True, 1, 2, 3.0)
    for number in range(FOUND_CACHED_MAX + 1):
        cache.put(f"u{number}", found, 0.0)
    assert cache.get("u0", 1.0) is None
    assert cache.get("u1", 1.0) == Found((), True, 0, 0, 0.0, cached=True)
    cache.put("new", found, FOUND_SECONDS_MAX)
    assert len(cache) == 1


def test_a_lookup_that_nobody_answered_says_nothing_about_a_name_and_neither_does_its_memory() -> None:
    found = read_found(LookupDone(1, (), (), 0, 3, 2.0))
    assert not found.was_answered
    cache = FoundCache()
    cache.put("u", found, 0.0)
    again = cache.get("u", 1.0)
    assert again is not None
    assert not again.was_answered
