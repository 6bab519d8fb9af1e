"""The memory of answers: how long they hold, and how many there are."""

from p2psip.naming.cache import ENTRIES_MAX, FAILURE_SECONDS, NEGATIVE_SECONDS_MAX, TTL_SECONDS_MAX, Cache
from p2psip.naming.questions import Answer, Question

ASKED = Question("example.com", "A")


def test_an_answer_holds_for_its_time_and_says_what_is_left() -> None:
    cache = Cache()
    cache.put(ASKED, Answer("found", addresses=("192.0.2.1",), ttl_seconds=60.0), 100.0)
    kept = cache.get(ASKED, 130.0)
    assert kept == Answer("found", addresses=("192.0.2.1",), ttl_seconds=30.0, cached=True)
    assert cache.get(ASKED, 160.0) is None
    assert len(cache) == 0
    assert (cache.hits, cache.misses) == (1, 1)


def test_each_kind_of_answer_has_its_bound() -> None:
    for answer, seconds in (
        (Answer("found", ttl_seconds=1e9), TTL_SECONDS_MAX),
        (Answer("no such name", ttl_seconds=1e9), NEGATIVE_SECONDS_MAX),
        (Answer("no data", ttl_seconds=7.0), 7.0),
        (Answer("timeout", ttl_seconds=1e9), FAILURE_SECONDS),
        (Answer("bogus"), FAILURE_SECONDS),
    ):
        cache = Cache()
        cache.put(ASKED, answer, 0.0)
        assert cache.get(ASKED, seconds - 0.001) is not None
        assert cache.get(ASKED, seconds) is None


def test_what_holds_for_no_time_is_not_kept() -> None:
    cache = Cache()
    cache.put(ASKED, Answer("no data", ttl_seconds=0.0), 0.0)
    assert len(cache) == 0


def test_one_more_than_there_is_room_for_pushes_out_the_one_not_used_for_longest() -> None:
    cache = Cache()
    questions = [Question(f"h{number}.example", "A") for number in range(ENTRIES_MAX + 1)]
    for question in questions[:-1]:
        cache.put(question, Answer("found", ttl_seconds=60.0), 0.0)
    cache.get(questions[0], 1.0)
    cache.put(questions[-1], Answer("found", ttl_seconds=60.0), 1.0)
    assert len(cache) == ENTRIES_MAX
    assert cache.get(questions[0], 1.0) is not None
    assert cache.get(questions[1], 1.0) is None
    cache.clear()
    assert len(cache) == 0
