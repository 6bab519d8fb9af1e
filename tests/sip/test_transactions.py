"""The four machines of RFC 3261 §17 with RFC 6026, as playbooks: every timer at its value, on both kinds of flow."""

import pytest

from tests.sip.playbook import play

UNRELIABLE = ("udp", "overlay")
RELIABLE = ("tcp", "tls", "ws", "wss")


SLOW = "\n0.5 > BYE\n" + "".join(f"{when} > BYE\n" for when in (4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5))
SLOW += "31.8 < 300 BYE\n31.8 user: 300 BYE\n"

# Client INVITE, §17.1.1


@pytest.mark.parametrize("transport", UNRELIABLE)
def test_invite_without_an_answer_is_repeated_by_timer_a_and_given_up_by_timer_b(transport: str) -> None:
    play(
        transport,
        """
        0 send INVITE
        0 > INVITE
        0.5 > INVITE
        1.5 > INVITE
        3.5 > INVITE
        7.5 > INVITE
        15.5 > INVITE
        31.5 > INVITE
        32 user: failed 408
        32 user: ended
        """,
    )


@pytest.mark.parametrize("transport", RELIABLE)
def test_invite_over_a_stream_is_sent_once(transport: str) -> None:
    play(transport, "0 send INVITE\n0 > INVITE\n32 user: failed 408\n32 user: ended")


def test_a_provisional_response_ends_timers_a_and_b() -> None:
    play(
        "udp",
        """
        0 send INVITE
        0 > INVITE
        0.5 > INVITE
        0.6 < 100 INVITE
        0.6 user: 100 INVITE
        100 < 180 INVITE
        100 user: 180 INVITE
        200 < 486 INVITE
        200 user: 486 INVITE
        200 > ACK
        232 user: ended
        """,
    )


def test_a_repeated_failure_is_acknowledged_again_and_goes_up_once_until_timer_d() -> None:
    play(
        "udp",
        """
        0 send INVITE
        0 > INVITE
        0.1 < 300 INVITE
        0.1 user: 300 INVITE
        0.1 > ACK
        0.6 < 300 INVITE
        0.6 > ACK
        1.6 < 180 INVITE
        1.7 < 200 INVITE
        32 < 486 INVITE
        32 > ACK
        32.1 user: ended
        33 < 486 INVITE
        """,
    )


def test_timer_d_is_zero_over_a_stream() -> None:
    play(
        "tcp",
        """
        0 send INVITE
        0 > INVITE
        0.1 < 603 INVITE
        0.1 user: 603 INVITE
        0.1 > ACK
        0.1 user: ended
        """,
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_every_2xx_goes_up_until_timer_m(transport: str) -> None:
    play(
        transport,
        """
        0 send INVITE
        0 > INVITE
        0.25 < 200 INVITE b
        0.25 user: 200 INVITE
        0.75 < 200 INVITE b
        0.75 user: 200 INVITE
        1 < 180 INVITE c
        2 < 200 INVITE c
        2 user: 200 INVITE
        3 < 300 INVITE d
        32.25 user: ended
        33 < 200 INVITE b
        """,
    )


# Client non-INVITE, §17.1.2


@pytest.mark.parametrize("transport", UNRELIABLE)
def test_a_request_without_an_answer_is_repeated_by_timer_e_and_given_up_by_timer_f(transport: str) -> None:
    play(
        transport,
        """
        0 send REGISTER
        0 > REGISTER
        0.5 > REGISTER
        1.5 > REGISTER
        3.5 > REGISTER
        7.5 > REGISTER
        11.5 > REGISTER
        15.5 > REGISTER
        19.5 > REGISTER
        23.5 > REGISTER
        27.5 > REGISTER
        31.5 > REGISTER
        32 user: failed 408
        32 user: ended
        """,
    )


@pytest.mark.parametrize("transport", RELIABLE)
def test_a_request_over_a_stream_is_sent_once(transport: str) -> None:
    play(transport, "0 send BYE\n0 > BYE\n32 user: failed 408\n32 user: ended")


def test_a_provisional_response_slows_timer_e_to_t2_and_leaves_timer_f() -> None:
    play(
        "udp",
        """
        0 send OPTIONS
        0 > OPTIONS
        0.2 < 100 OPTIONS
        0.2 user: 100 OPTIONS
        0.5 > OPTIONS
        4.5 > OPTIONS
        8.5 > OPTIONS
        12.5 > OPTIONS
        16.5 > OPTIONS
        20.5 > OPTIONS
        24.5 > OPTIONS
        28.5 > OPTIONS
        32 user: failed 408
        32 user: ended
        """,
    )


def test_repeated_final_responses_are_swallowed_until_timer_k() -> None:
    play(
        "udp",
        """
        0 send BYE
        0 > BYE
        0.5 > BYE
        1 < 200 BYE
        1 user: 200 BYE
        2 < 200 BYE
        3 < 481 BYE
        6 user: ended
        """,
    )


def test_a_late_final_response_stops_timer_f() -> None:
    play("overlay", "0 send BYE\n0 > BYE\n0.1 < 100 BYE\n0.1 user: 100 BYE" + SLOW + "36.8 user: ended")


def test_timer_k_is_zero_over_a_stream() -> None:
    play("tcp", "0 send BYE\n0 > BYE\n1 < 200 BYE\n1 user: 200 BYE\n1 user: ended")


# Server INVITE, §17.2.1


@pytest.mark.parametrize("transport", ["udp", "tcp", "overlay"])
def test_100_is_sent_after_200_milliseconds_of_silence(transport: str) -> None:
    play(transport, "0 < INVITE\n0 user: INVITE\n0.2 > 100 INVITE")


def test_no_100_when_the_user_was_quicker() -> None:
    play("udp", "0 < INVITE\n0 user: INVITE\n0.1 answer 180\n0.1 > 180 INVITE")


def test_a_repeated_invite_gets_the_last_provisional_response() -> None:
    play(
        "udp",
        """
        0 < INVITE
        0 user: INVITE
        0.1 < INVITE
        0.2 > 100 INVITE
        0.5 < INVITE
        0.5 > 100 INVITE
        0.6 answer 180
        0.6 > 180 INVITE
        1.5 < INVITE
        1.5 > 180 INVITE
        """,
    )


@pytest.mark.parametrize("transport", UNRELIABLE)
def test_a_failure_without_ack_is_repeated_by_timer_g_and_given_up_by_timer_h(transport: str) -> None:
    play(
        transport,
        """
        0 < INVITE
        0 user: INVITE
        0 answer 486
        0 > 486 INVITE
        0.5 > 486 INVITE
        1.5 > 486 INVITE
        3.5 > 486 INVITE
        7.5 > 486 INVITE
        11.5 > 486 INVITE
        15.5 > 486 INVITE
        19.5 > 486 INVITE
        23.5 > 486 INVITE
        27.5 > 486 INVITE
        31.5 > 486 INVITE
        32 user: ended
        """,
    )


@pytest.mark.parametrize("transport", RELIABLE)
def test_a_failure_over_a_stream_is_sent_once_and_waits_for_ack_until_timer_h(transport: str) -> None:
    play(transport, "0 < INVITE\n0 user: INVITE\n0 answer 486\n0 > 486 INVITE\n32 user: ended")


def test_ack_ends_timer_g_and_further_acks_and_invites_are_swallowed_until_timer_i() -> None:
    play(
        "udp",
        """
        0 < INVITE
        0 user: INVITE
        0 answer 486
        0 > 486 INVITE
        0.3 < INVITE
        0.3 > 486 INVITE
        0.5 > 486 INVITE
        0.7 < ACK
        1 < ACK
        1.1 < INVITE
        5.7 user: ended
        """,
    )


def test_a_late_ack_stops_timer_h() -> None:
    play("tcp", "0 < INVITE\n0 user: INVITE\n0 answer 486\n0 > 486 INVITE\n31 < ACK\n31 user: ended")
    play(
        "udp",
        """
        0 < INVITE
        0 user: INVITE
        0.1 answer 300
        0.1 > 300 INVITE
        0.6 > 300 INVITE
        1.6 > 300 INVITE
        3.6 > 300 INVITE
        7.6 > 300 INVITE
        11.6 > 300 INVITE
        15.6 > 300 INVITE
        19.6 > 300 INVITE
        23.6 > 300 INVITE
        27.6 > 300 INVITE
        31 < ACK
        36 user: ended
        """,
    )


def test_timer_i_is_zero_over_a_stream() -> None:
    play("tcp", "0 < INVITE\n0 user: INVITE\n0 answer 486\n0 > 486 INVITE\n1 < ACK\n1 user: ended")


@pytest.mark.parametrize("transport", ["udp", "tcp", "overlay"])
def test_after_2xx_invites_are_swallowed_and_acks_go_up_until_timer_l(transport: str) -> None:
    play(
        transport,
        """
        0 < INVITE
        0 user: INVITE
        0 answer 200
        0 > 200 INVITE
        0.5 < INVITE
        1 < ACK
        1 user: ACK
        2 < ACK z9hG4bKother
        2 user: ACK
        3 < ACK
        3 user: ACK
        32 user: ended
        40 < ACK
        40 user: ACK
        """,
    )


def test_an_answer_after_the_final_one_is_not_sent() -> None:
    play(
        "udp",
        """
        0 < INVITE
        0 user: INVITE
        0 answer 200
        0 > 200 INVITE
        1 answer 486
        32 user: ended
        33 answer 500
        """,
    )


# Server non-INVITE, §17.2.2


@pytest.mark.parametrize("transport", UNRELIABLE)
def test_a_repeated_request_gets_the_last_response_until_timer_j(transport: str) -> None:
    play(
        transport,
        """
        0 < OPTIONS
        0 user: OPTIONS
        0.5 < OPTIONS
        1 answer 100
        1 > 100 OPTIONS
        1.5 < OPTIONS
        1.5 > 100 OPTIONS
        2 answer 200
        2 > 200 OPTIONS
        3 < OPTIONS
        3 > 200 OPTIONS
        4 answer 500
        33 < OPTIONS
        33 > 200 OPTIONS
        34 user: ended
        35 < OPTIONS
        35 user: OPTIONS
        """,
    )


@pytest.mark.parametrize("transport", RELIABLE)
def test_timer_j_is_zero_over_a_stream(transport: str) -> None:
    play(transport, "0 < BYE\n0 user: BYE\n1 answer 200\n1 > 200 BYE\n1 user: ended")


def test_an_unknown_method_goes_up_and_is_answered_by_the_user() -> None:
    play("udp", "0 < BREW\n0 user: BREW\n1 answer 405\n1 > 405 BREW\n33 user: ended")


# CANCEL, §9


def test_cancel_waits_for_a_provisional_response_and_is_sent_once() -> None:
    play(
        "udp",
        """
        0 send INVITE
        0 > INVITE
        0.1 cancel
        0.2 < 100 INVITE
        0.2 user: 100 INVITE
        0.2 > CANCEL
        0.3 < 180 INVITE
        0.3 user: 180 INVITE
        0.4 cancel
        0.6 < 200 CANCEL
        0.6 user: 200 CANCEL
        0.6 < 487 INVITE
        0.6 user: 487 INVITE
        0.6 > ACK
        5.6 user: ended
        32.6 user: ended
        """,
    )


def test_an_invite_that_is_cancelled_and_never_answered_is_given_up_whatever_provisional_responses_come() -> None:
    play(
        "tcp",
        """
        0 send INVITE
        0 > INVITE
        0.2 < 180 INVITE
        0.2 user: 180 INVITE
        10 cancel
        10 > CANCEL
        10.5 < 200 CANCEL
        10.5 user: 200 CANCEL
        10.5 user: ended
        11 < 180 INVITE
        11 user: 180 INVITE
        42 user: failed 408
        42 user: ended
        """,
    )


def test_cancel_has_the_timers_of_any_request() -> None:
    play(
        "udp",
        """
        0 send INVITE
        0 > INVITE
        0.2 < 180 INVITE
        0.2 user: 180 INVITE
        1 cancel
        1 > CANCEL
        1.5 > CANCEL
        2.5 > CANCEL
        4.5 > CANCEL
        8.5 > CANCEL
        9 < 487 INVITE
        9 user: 487 INVITE
        9 > ACK
        12.5 > CANCEL
        16.5 > CANCEL
        20.5 > CANCEL
        24.5 > CANCEL
        28.5 > CANCEL
        32.5 > CANCEL
        33 user: failed 408
        33 user: ended
        41 user: ended
        """,
    )


def test_cancel_after_the_final_response_does_nothing() -> None:
    play(
        "tcp",
        "0 send INVITE\n0 > INVITE\n1 < 200 INVITE\n1 user: 200 INVITE\n2 cancel\n33 user: ended\n40 cancel",
    )


def test_a_cancel_of_the_peer_is_answered_200_and_goes_up_once() -> None:
    play(
        "udp",
        """
        0 < INVITE
        0 user: INVITE
        0.1 answer 180
        0.1 > 180 INVITE
        1 < CANCEL
        1 > 200 CANCEL
        1 user: cancelled
        1.5 < CANCEL
        1.5 > 200 CANCEL
        2 answer 487 INVITE
        2 > 487 INVITE
        2.1 < ACK
        7.1 user: ended
        33 user: ended
        """,
    )


def test_a_cancel_after_the_final_answer_has_no_effect() -> None:
    play(
        "tcp",
        """
        0 < INVITE
        0 user: INVITE
        0 answer 200
        0 > 200 INVITE
        1 < CANCEL
        1 > 200 CANCEL
        1 user: ended
        32 user: ended
        """,
    )


def test_a_cancel_of_nothing_is_answered_481() -> None:
    play("tcp", "0 < CANCEL\n0 > 481 CANCEL\n0 user: ended")


# Transport errors, §17.1.4 and §17.2.4


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_closed_connection_fails_what_waits_for_an_answer(method: str) -> None:
    play("tcp", f"0 send {method}\n0 > {method}\n1 closed\n1 user: failed 503\n1 user: ended")


def test_a_closed_connection_fails_an_invite_that_rings() -> None:
    play(
        "tcp",
        """
        0 send INVITE
        0 > INVITE
        1 < 180 INVITE
        1 user: 180 INVITE
        50 closed
        50 user: failed 503
        50 user: ended
        """,
    )


def test_a_closed_connection_does_not_fail_what_was_answered() -> None:
    play("tcp", "0 send INVITE\n0 > INVITE\n1 < 200 INVITE\n1 user: 200 INVITE\n2 closed\n33 user: ended")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_closed_connection_does_not_make_a_new_call_of_an_invite_that_was_accepted(transport: str) -> None:
    play(
        transport,
        """
        0 < INVITE
        0 user: INVITE
        0 answer 200
        0 > 200 INVITE
        1 closed
        2 < INVITE
        3 < ACK
        3 user: ACK
        32 user: ended
        """,
    )


def test_a_closed_connection_ends_answered_requests_and_leaves_others_to_the_user() -> None:
    play(
        "tcp",
        """
        0 < INVITE
        0 user: INVITE
        0 answer 486
        0 > 486 INVITE
        1 < OPTIONS z9hG4bKtwo
        1 user: OPTIONS
        2 closed
        2 user: ended
        3 answer 200
        3 > 200 OPTIONS
        3 user: ended
        """,
    )
