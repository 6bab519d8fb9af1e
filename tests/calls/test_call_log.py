"""The log of calls and its bounds."""

from p2psip.calls.call_log import RECORDS_MAX, STEPS_MAX, CallLog


def test_records_and_steps_are_bounded() -> None:
    log = CallLog()
    records = [log.open("a", "b", float(number)) for number in range(RECORDS_MAX + 1)]
    assert len(log) == RECORDS_MAX
    assert next(iter(log)) is records[1]
    for number in range(STEPS_MAX + 1):
        records[1].step(float(number), "a", "b", "INVITE")
    assert len(records[1].steps) == STEPS_MAX


def test_the_first_end_counts() -> None:
    record = CallLog().open("a", "b", 10.0)
    assert record.post_dial_milliseconds is None
    record.rang = 10.5
    record.end(12.0, 486, "busy")
    record.end(13.0, 200, "")
    facts = record.as_json(99.0)
    assert (facts["status"], facts["seconds"], facts["post_dial_delay_ms"]) == (486, 2.0, 500.0)


def test_who_watches_hears_of_each_new_state_of_a_call_once() -> None:
    log = CallLog()
    heard: list[str] = []
    log.on_change(lambda record: heard.append(record.state))
    record = log.open("alice@home.example", "bob@home.example", 10.0)
    record.ring(10.5)
    record.ring(10.7)
    record.answer(11.0)
    record.end(12.0, 200, "")
    record.end(13.0, 500, "")
    assert heard == ["calling", "ringing", "talking", "ended"]
    assert record.rang == 10.5
