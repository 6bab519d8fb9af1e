"""a=crypto lines, and which keys are in force after each offer and answer (RFC 4568)."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.sdes import LIFETIME_PACKETS_MIN, LINES_MAX, MKI_BYTES_MAX, Crypto, SdesNegotiation, usable
from media.srtp import SUITES, MasterKey
from p2psip.base.chance import Chance
from p2psip.base.errors import RemoteError

KEY = base64.b64encode(bytes(range(30))).decode()
CM_80 = f"AES_CM_128_HMAC_SHA1_80 inline:{KEY}"


def lines(negotiation: SdesNegotiation) -> list[str]:
    return [each.to_sdp() for each in negotiation.offer()]


def agree(offerer: SdesNegotiation, answerer: SdesNegotiation) -> None:
    answerer.take_offer(lines(offerer))
    offerer.take_answer([answerer.answer().to_sdp()])
    assert offerer.keys is not None
    assert answerer.keys is not None
    assert (offerer.keys.send, offerer.keys.receive) == (answerer.keys.receive, answerer.keys.send)


def test_a_line_as_the_rfc_writes_it() -> None:
    line = Crypto.parse("1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32")
    assert (line.tag, line.key.suite, len(line.key.secret), line.key.mki_bytes) == (
        1,
        "AES_CM_128_HMAC_SHA1_80",
        30,
        32,
    )


@pytest.mark.parametrize(
    "text",
    [
        f"2 {CM_80}",
        f"2 {CM_80}|2^31",
        f"2 {CM_80}|{LIFETIME_PACKETS_MIN}|1:{MKI_BYTES_MAX}",
        f"2 {CM_80}|7:4",
        f"2 {CM_80} WSH=128 -UNKNOWN=1",
        f"2 {CM_80.lower().replace(KEY.lower(), KEY)}",
    ],
)
def test_lines_that_can_be_used(text: str) -> None:
    assert Crypto.parse(text).key.secret == bytes(range(30))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        f"x {CM_80}",
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AEAD_AES_128_GCM inline:{KEY}",
        f"1 {CM_80};inline:{KEY}",
        f"1 {CM_80}|{LIFETIME_PACKETS_MIN - 1}",
        f"1 {CM_80}|1:{MKI_BYTES_MAX + 1}",
        f"1 {CM_80}|1:0",
        f"1 {CM_80} UNENCRYPTED_SRTP",
        f"1 {CM_80} KDR=1",
        f"1 {CM_80[:-1]}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:====",
    ],
)
def test_lines_that_cannot(text: str) -> None:
    with pytest.raises(RemoteError):
        Crypto.parse(text)


@given(
    st.text() | st.from_regex(r"[0-9]{1,3} [A-Z_0-9]{1,30} inline:[A-Za-z0-9+/=|:^]{0,60}( [A-Z=]+)?", fullmatch=True)
)
def test_any_text_is_a_line_or_a_remote_error(text: str) -> None:
    try:
        line = Crypto.parse(text)
    except RemoteError:
        return
    assert Crypto.parse(line.to_sdp()).key.secret == line.key.secret


@given(st.sampled_from(sorted(SUITES)), st.integers(1, 999_999_999), st.data())
def test_what_we_write_can_be_read(suite: str, tag: int, data: st.DataObject) -> None:
    size = SUITES[suite].key_bytes + SUITES[suite].salt_bytes
    line = Crypto(tag, MasterKey(suite, data.draw(st.binary(min_size=size, max_size=size))))
    assert Crypto.parse(line.to_sdp()) == line


def test_only_so_many_lines_are_looked_at() -> None:
    assert len(usable([f"{tag} {CM_80}" for tag in range(LINES_MAX + 1)])) == LINES_MAX


def test_the_first_line_that_can_be_used_is_chosen_with_its_tag() -> None:
    negotiation = SdesNegotiation(Chance.seeded(1))
    negotiation.take_offer(["1 AES_256_CM_HMAC_SHA1_80 inline:xx", f"7 {CM_80}", f"9 {CM_80}"])
    answer = negotiation.answer()
    assert (answer.tag, answer.key.suite) == (7, "AES_CM_128_HMAC_SHA1_80")
    assert answer.key.secret != bytes(range(30))


def test_no_line_that_can_be_used_is_refused_in_words() -> None:
    with pytest.raises(RemoteError, match="AEAD_AES_256_GCM") as caught:
        SdesNegotiation(Chance.seeded(1)).take_offer(["1 AES_256_CM_HMAC_SHA1_80 inline:xx"])
    assert caught.value.status == 488
    assert "xx" not in str(caught.value)


def test_both_sides_agree_and_stay_agreed() -> None:
    one, other = SdesNegotiation(Chance.seeded(1)), SdesNegotiation(Chance.seeded(2))
    agree(one, other)
    keys = one.keys
    agree(one, other)
    agree(other, one)
    assert one.keys == keys


def test_all_suites_are_offered_each_with_its_own_key() -> None:
    offered = SdesNegotiation(Chance.seeded(1)).offer()
    assert [each.key.suite for each in offered] == list(SUITES)
    assert len({each.key.secret for each in offered}) == len(SUITES)


def test_a_provisional_answer_and_the_final_one_may_name_the_same_tag() -> None:
    one = SdesNegotiation(Chance.seeded(1))
    one.offer()
    for _ in range(2):
        one.take_answer([f"3 {CM_80}"])
    assert one.keys is not None
    assert one.keys.send is not None
    assert one.keys.send.suite == "AES_CM_128_HMAC_SHA1_80"


@pytest.mark.parametrize("answer", [[], [f"1 {CM_80}"], [f"99 {CM_80}"], ["3 nonsense"]])
def test_an_answer_that_was_not_offered_is_refused(answer: list[str]) -> None:
    one = SdesNegotiation(Chance.seeded(1))
    one.offer()
    with pytest.raises(RemoteError):
        one.take_answer(answer)
    assert one.keys is None


def test_who_changes_the_key_gets_a_new_one() -> None:
    negotiation = SdesNegotiation(Chance.seeded(1))
    negotiation.take_offer([f"1 {CM_80}"])
    before = negotiation.answer()
    assert negotiation.answer() == before, "183 and 200 say the same"
    negotiation.take_offer([f"1 {CM_80.replace(KEY, base64.b64encode(bytes(30)).decode())}"])
    assert negotiation.keys is not None
    assert negotiation.keys.send == before.key, "an offer counts once it is answered"
    after = negotiation.answer()
    assert after.key != before.key
    assert negotiation.keys.receive is not None
    assert negotiation.keys.receive.secret == bytes(30)
