"""Named deadlines: order, moving, stopping, and the bound of the heap behind them."""

from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.timers import Timers


def test_expired_comes_in_order_of_time_then_of_setting() -> None:
    timers: Timers[str] = Timers()
    timers.set("late", 3.0)
    timers.set("b", 1.0)
    timers.set("a", 1.0)
    assert timers.next() == 1.0
    assert timers.expired(2.0) == ["b", "a"]
    assert timers.expired(2.0) == []
    assert timers.next() == 3.0


def test_a_moved_or_stopped_deadline_does_not_fire_at_its_old_time() -> None:
    timers: Timers[str] = Timers()
    timers.set("moved", 1.0)
    timers.set("moved", 5.0)
    timers.set("stopped", 2.0)
    timers.stop("stopped")
    assert timers.expired(4.0) == []
    assert timers.expired(5.0) == ["moved"]
    assert timers.next() is None


@given(st.lists(st.tuples(st.integers(0, 20), st.none() | st.floats(0, 100))))
def test_it_behaves_like_a_plain_dictionary(steps: list[tuple[int, float | None]]) -> None:
    timers: Timers[int] = Timers()
    model: dict[int, float] = {}
    for name, when in steps:
        if when is None:
            timers.stop(name)
            model.pop(name, None)
        else:
            timers.set(name, when)
            model[name] = when
        assert timers.next() == min(model.values(), default=None)
    assert sorted(timers.expired(100.0)) == sorted(model)


def test_the_heap_is_bounded_by_the_live_deadlines() -> None:
    timers: Timers[int] = Timers()
    for count in range(10_000):
        timers.set(count % 10, float(count))
    assert len(timers._heap) <= 65
