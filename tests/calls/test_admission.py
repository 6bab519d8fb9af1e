"""Who of the open SIP world is listened to, by hand."""

from p2psip.base.core import host_key
from p2psip.calls.admission import (
    ALL_MESSAGES_BURST,
    ALL_MESSAGES_PER_SECOND,
    BLOCK_SECONDS,
    HOSTS_MAX,
    INVITES_BURST,
    MESSAGES_BURST,
    MESSAGES_PER_SECOND,
    PROBE_FORGOTTEN_SECONDS,
    PROBES_MAX,
    Admission,
    AdmissionLimits,
    TokenBucket,
    Verdict,
)

MANY = AdmissionLimits(1_000, 1_000, 60_000.0, 60_000.0)


def test_a_bucket_holds_its_size_and_fills_by_its_rate() -> None:
    bucket = TokenBucket(2.0, 3.0, 10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(99.0), "a clock that goes back fills nothing"


def test_one_host_is_read_so_often_and_no_more() -> None:
    admission = Admission(MANY, 0.0)
    assert all(admission.may_speak("192.0.2.1", 0.0) for _ in range(int(MESSAGES_BURST)))
    assert not admission.may_speak("192.0.2.1", 0.0)
    assert admission.may_speak("192.0.2.2", 0.0)
    assert sum(admission.may_speak("192.0.2.1", 1.0) for _ in range(100)) == MESSAGES_PER_SECOND
    assert admission.dropped == 1 + 100 - MESSAGES_PER_SECOND


def test_all_hosts_together_are_read_so_often_and_no_more() -> None:
    admission = Admission(MANY, 0.0)
    taken = sum(admission.may_speak(f"10.0.{n // 250}.{n % 250}", 0.0) for n in range(2_000))
    assert taken == ALL_MESSAGES_BURST
    assert sum(admission.may_speak(f"10.1.{n // 250}.{n % 250}", 1.0) for n in range(1_000)) == ALL_MESSAGES_PER_SECOND


def test_the_table_of_hosts_is_bounded_and_a_host_with_a_call_keeps_its_count() -> None:
    admission = Admission(AdmissionLimits(10, 1, 6_000.0, 600.0), 0.0)
    assert admission.invite("192.0.2.1", 0.0) is Verdict.ADMITTED
    for number in range(HOSTS_MAX + 1):
        admission.is_blocked(f"10.{number // 65_536}.{number // 256 % 256}.{number % 256}", 0.0)
    assert len(admission) == HOSTS_MAX
    assert admission.invite("192.0.2.1", 1.0) is Verdict.TOO_MANY
    admission.release("192.0.2.1")
    assert admission.calls == 0
    assert admission.invite("192.0.2.1", 2.0) is Verdict.ADMITTED


def test_calls_at_a_time_of_one_host_and_in_all() -> None:
    admission = Admission(AdmissionLimits(3, 2, 6_000.0, 6_000.0), 0.0)
    assert [admission.invite("a", 0.0) for _ in range(3)] == [Verdict.ADMITTED, Verdict.ADMITTED, Verdict.TOO_MANY]
    assert [admission.invite("b", 0.0) for _ in range(2)] == [Verdict.ADMITTED, Verdict.TOO_MANY]
    admission.release("a")
    assert admission.invite("b", 0.0) is Verdict.ADMITTED


def test_invitations_a_minute_of_one_host_and_in_all() -> None:
    admission = Admission(AdmissionLimits(100, 100, 60.0, 6.0), 0.0)
    verdicts = [admission.invite("a", 0.0) for _ in range(int(INVITES_BURST) + 1)]
    assert verdicts == [Verdict.ADMITTED] * int(INVITES_BURST) + [Verdict.TOO_OFTEN]
    assert admission.invite("a", 10.0) is Verdict.ADMITTED
    assert admission.invite("a", 10.1) is Verdict.TOO_OFTEN
    admission = Admission(AdmissionLimits(100, 100, 60.0, 6.0), 0.0)
    verdicts = [admission.invite(f"host {n}", 0.0) for n in range(30)]
    assert verdicts.count(Verdict.ADMITTED) == 15, "a quarter of a minute's at once"


def test_who_probes_is_not_listened_to_for_a_while() -> None:
    admission = Admission(MANY, 0.0)
    assert not any(admission.probe("a", 0.0) for _ in range(PROBES_MAX))
    assert admission.probe("a", 0.0)
    assert not admission.probe("a", 0.0), "it is told once"
    assert admission.is_blocked("a", BLOCK_SECONDS - 1)
    assert admission.invite("a", 1.0) is Verdict.BLOCKED
    assert not admission.is_blocked("b", 1.0)
    assert not admission.is_blocked("a", BLOCK_SECONDS + 1)


def test_who_misdials_now_and_then_is_forgiven() -> None:
    admission = Admission(MANY, 0.0)
    assert not any(admission.probe("a", n * PROBE_FORGOTTEN_SECONDS) for n in range(10 * PROBES_MAX))


def test_a_network_of_ipv6_is_one_source() -> None:
    assert host_key("2001:db8::1") == host_key("2001:db8::ffff:1") != host_key("2001:db8:0:1::1")
    assert host_key("fe80::1%eth0") == host_key("fe80::2")
    assert host_key("192.0.2.1") == "192.0.2.1"
    assert host_key("no:address") == "no:address"
