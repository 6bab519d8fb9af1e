"""The rules, played through by hand: no socket, no clock, a database in memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pytest

from bootstrap import authority as rules
from bootstrap.accounts import Accounts
from bootstrap.authority import DEVICE_LIFETIME_SECONDS, FRESH_SECONDS_MAX, RENEW_REMAINING_SECONDS, Authority
from bootstrap.guesses import FAILURES_FREE
from bootstrap.messages import INTRODUCE, RENEW, DeviceRequest, EnrolRequest, signed_bytes
from p2psip.base.certificates import (
    DeviceCertificate,
    certificate_request,
    create_authority,
    fingerprint,
    verify_device,
)
from p2psip.base.chance import Chance
from p2psip.base.configuration import OverlayConfiguration, sign_configuration, verify_configuration
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NodeKey, SigningKey

UNIX = 1_800_000_000.0
PASSWORD = "correct horse"
HOUR = 3_600.0


@dataclass
class Device:
    """A machine with its two keys."""

    signing: SigningKey
    node: NodeKey


class Bench:
    """An authority whose times and dice the test holds. `play` gives a certificate, or the status of the refusal."""

    def __init__(self) -> None:
        self.chance = Chance.seeded(3)
        self.storage = Accounts(":memory:", create=True)
        self.authority = Authority.create(self.storage, "home.example", unix=UNIX, chance=self.chance)
        self.unix = UNIX
        self.now = 50.0

    def device(self) -> Device:
        return Device(SigningKey.generate(self.chance), NodeKey.generate(self.chance))

    def token(self, name: str | None = None, seconds: float = HOUR) -> str:
        return self.authority.make_token(unix=self.unix, lifetime_seconds=seconds, name=name)

    def wish(
        self,
        name: str,
        *,
        token: str | None = None,
        password: str | None = None,
        device: Device | None = None,
        number: int | None = None,
    ) -> EnrolRequest:
        device = device or self.device()
        request = certificate_request(device.signing, device.node)
        return EnrolRequest(name, request, int(self.unix), self.chance.bytes(16), password, token, number)

    def enrol(self, wish: EnrolRequest, source: str = "192.0.2.1") -> DeviceCertificate:
        der = self.authority.enrol(wish, source, unix=self.unix, now=self.now)
        return verify_device(der, self.authority.ca_der, self.unix)

    def refusal(self, wish: EnrolRequest, source: str = "192.0.2.1") -> int:
        with pytest.raises(RemoteError) as error:
            self.enrol(wish, source)
        return error.value.status

    def signed(self, device: Device, certificate: DeviceCertificate, purpose: str = RENEW) -> DeviceRequest:
        nonce = self.chance.bytes(16)
        signature = device.signing.sign(signed_bytes(purpose, "home.example", int(self.unix), nonce))
        return DeviceRequest(purpose, certificate.der, int(self.unix), nonce, signature)

    def renew(self, request: DeviceRequest) -> DeviceCertificate:
        return verify_device(self.authority.renew(request, unix=self.unix), self.authority.ca_der, self.unix)

    def configuration(self) -> OverlayConfiguration:
        return verify_configuration(self.authority.configuration(), self.authority.ca_der)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.storage.close()


def test_a_new_overlay(bench: Bench) -> None:
    assert bench.configuration() == OverlayConfiguration("home.example", 1, int(UNIX))
    assert Authority(bench.storage, bench.chance).ca_der == bench.authority.ca_der
    with pytest.raises(RemoteError, match="needs a name"):
        Authority.create(bench.storage, "192.0.2.1", unix=UNIX, chance=bench.chance)


def test_tokens_make_accounts_with_numbers_from_1001(bench: Bench) -> None:
    device = bench.device()
    alice = bench.enrol(bench.wish("Alice", token=bench.token(), device=device))
    assert alice.addresses == ("alice@home.example", "1001@home.example")
    assert (alice.node_id, alice.signing_key) == (device.node.node_id, device.signing.public)
    assert (alice.not_before, alice.not_after) == (UNIX, UNIX + DEVICE_LIFETIME_SECONDS)
    bob = bench.enrol(bench.wish("bob", token=bench.token(), number=1002))
    carol = bench.enrol(bench.wish("carol", token=bench.token()))
    assert (bob.addresses[1], carol.addresses[1]) == ("1002@home.example", "1003@home.example")
    assert [account.name for account in bench.authority.accounts()] == ["alice", "bob", "carol"]


def test_the_same_account_on_several_devices_by_password_or_token(bench: Bench) -> None:
    first = bench.enrol(bench.wish("alice", token=bench.token(), password=PASSWORD))
    second = bench.enrol(bench.wish("alice", password=PASSWORD))
    third = bench.enrol(bench.wish("alice", token=bench.token("alice")))
    unspent = bench.token()
    fourth = bench.enrol(bench.wish("alice", token=unspent, password=PASSWORD))
    assert len({each.serial for each in (first, second, third, fourth)}) == 4
    assert {each.addresses for each in (first, second, third, fourth)} == {first.addresses}
    assert len(bench.authority.devices("alice", unix=UNIX)) == 4
    bench.enrol(bench.wish("bob", token=unspent))


def test_a_token_for_an_account_can_set_its_password_anew(bench: Bench) -> None:
    bench.enrol(bench.wish("alice", token=bench.token()))
    assert bench.refusal(bench.wish("alice", password=PASSWORD)) == 403
    bench.enrol(bench.wish("alice", token=bench.token("alice"), password=PASSWORD))
    bench.enrol(bench.wish("alice", password=PASSWORD))


def test_refused_tokens(bench: Bench) -> None:
    bench.enrol(bench.wish("alice", token=bench.token()))
    spent = bench.token()
    bench.enrol(bench.wish("bob", token=spent))
    assert bench.refusal(bench.wish("carol", token="x" * 26), "192.0.2.2") == 403
    assert bench.refusal(bench.wish("carol", token=spent), "192.0.2.3") == 403
    assert bench.refusal(bench.wish("carol", token=bench.token("alice")), "192.0.2.4") == 403
    assert bench.refusal(bench.wish("carol")) == 400
    old = bench.token(seconds=60)
    bench.unix += 61
    assert bench.refusal(bench.wish("carol", token=old), "192.0.2.5") == 403


def test_two_servers_on_one_file_cannot_spend_a_token_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    token, begin = bench.token(), bench.storage.transaction

    def a_rival_is_quicker() -> AbstractContextManager[None]:
        monkeypatch.setattr(bench.storage, "transaction", begin)
        bench.enrol(bench.wish("rival", token=token))
        return begin()

    wish = bench.wish("alice", token=token)
    monkeypatch.setattr(bench.storage, "transaction", a_rival_is_quicker)
    assert bench.refusal(wish) == 409
    assert [account.name for account in bench.authority.accounts()] == ["rival"]


def test_a_lost_answer_can_be_asked_for_again(bench: Bench) -> None:
    device, token = bench.device(), bench.token()
    first = bench.enrol(bench.wish("alice", token=token, device=device))
    assert bench.enrol(bench.wish("alice", token=token, device=device)).serial == first.serial
    assert bench.refusal(bench.wish("alice", token=token)) == 403
    assert bench.refusal(bench.wish("bob", token=token, device=device)) == 403
    bench.authority.revoke("alice", unix=UNIX)
    assert bench.refusal(bench.wish("alice", token=token, device=device)) == 403


def test_a_refused_enrolment_spends_nothing(bench: Bench) -> None:
    bench.enrol(bench.wish("alice", token=bench.token()))
    token = bench.token()
    for wish, status in (
        (bench.wish("alice", token=token), 409),
        (bench.wish("bob", token=token, number=1001), 409),
        (bench.wish("bob", token=token, number=112), 400),
        (bench.wish("bob", token=token, password="short"), 400),
        (bench.wish("echo", token=token), 409),
        (bench.wish("1001", token=token), 400),
        (replace(bench.wish("bob", token=token), certificate_request=b"no request"), 400),
    ):
        assert bench.refusal(wish) == status
    assert [account.name for account in bench.authority.accounts()] == ["alice"]
    assert bench.enrol(bench.wish("bob", token=token)).addresses[0] == "bob@home.example"


def test_old_early_and_replayed_requests(bench: Bench) -> None:
    wish = bench.wish("alice", token=bench.token())
    for away in (FRESH_SECONDS_MAX + 1, -FRESH_SECONDS_MAX - 1):
        assert bench.refusal(replace(wish, timestamp=int(UNIX) + away)) == 400
    bench.enrol(wish)
    assert bench.refusal(wish) == 409
    bench.unix += FRESH_SECONDS_MAX
    assert bench.refusal(wish) == 409
    bench.unix += 1
    assert bench.refusal(wish) == 400


def test_a_request_with_a_broken_signature_is_refused(bench: Bench) -> None:
    wish = bench.wish("alice", token=bench.token())
    broken = bytearray(wish.certificate_request)
    broken[-1] ^= 1
    assert bench.refusal(replace(wish, certificate_request=bytes(broken))) == 400


def test_a_node_id_belongs_to_one_account(bench: Bench) -> None:
    device = bench.device()
    bench.enrol(bench.wish("alice", token=bench.token(), device=device))
    thief = Device(SigningKey.generate(bench.chance), device.node)
    assert bench.refusal(bench.wish("mallory", token=bench.token(), device=thief)) == 409
    bench.enrol(bench.wish("alice", token=bench.token("alice"), device=device))


def test_guessing_is_slowed_per_account_and_per_source(bench: Bench) -> None:
    bench.enrol(bench.wish("alice", token=bench.token(), password=PASSWORD))
    for number in range(FAILURES_FREE):
        assert bench.refusal(bench.wish("alice", password="wrong horse"), f"192.0.2.{number}") == 403
    assert bench.refusal(bench.wish("alice", password=PASSWORD), "192.0.2.99") == 429
    bench.now += 1.0
    bench.enrol(bench.wish("alice", password=PASSWORD), "192.0.2.99")
    for number in range(FAILURES_FREE):
        assert bench.refusal(bench.wish(f"name{number}", token="x" * 26), "192.0.2.100") == 403
    assert bench.refusal(bench.wish("carol", token=bench.token()), "192.0.2.100") == 429
    bench.enrol(bench.wish("carol", token=bench.token()), "192.0.2.101")


def test_an_unknown_name_looks_like_a_wrong_password(bench: Bench) -> None:
    bench.enrol(bench.wish("alice", token=bench.token(), password=PASSWORD))
    answers = set()
    for name in ("alice", "nobody"):
        with pytest.raises(RemoteError) as error:
            bench.enrol(bench.wish(name, password="wrong horse"))
        answers.add((str(error.value), error.value.status))
    assert len(answers) == 1


def test_renewal(bench: Bench) -> None:
    device = bench.device()
    first = bench.enrol(bench.wish("alice", token=bench.token(), device=device))
    assert bench.renew(bench.signed(device, first)).serial == first.serial
    bench.unix = first.not_after - RENEW_REMAINING_SECONDS
    second = bench.renew(bench.signed(device, first))
    assert second.serial != first.serial
    assert (second.addresses, second.node_id) == (first.addresses, first.node_id)
    assert bench.renew(bench.signed(device, first)).serial == second.serial
    bench.unix = first.not_after + 1
    with pytest.raises(RemoteError, match="validity") as error:
        bench.renew(bench.signed(device, first))
    assert error.value.status == 403


def test_refused_renewals(bench: Bench) -> None:
    device, other = bench.device(), bench.device()
    held = bench.enrol(bench.wish("alice", token=bench.token(), device=device))
    good = bench.signed(device, held)
    foreign = create_authority("home.example", SigningKey.generate(bench.chance), int(UNIX))
    for request, status in (
        (bench.signed(other, held), 403),
        (replace(good, timestamp=good.timestamp + 1), 403),
        (replace(good, timestamp=good.timestamp - FRESH_SECONDS_MAX - 1), 400),
        (bench.signed(device, held, INTRODUCE), 403),
        (replace(bench.signed(device, held, INTRODUCE), purpose=RENEW), 403),
        (replace(good, certificate_der=foreign), 403),
        (replace(good, certificate_der=b"x"), 403),
    ):
        with pytest.raises(RemoteError) as error:
            bench.renew(request)
        assert error.value.status == status
    bench.renew(good)
    with pytest.raises(RemoteError, match="served already"):
        bench.renew(good)


def test_revocation_raises_the_sequence_and_shuts_out(bench: Bench) -> None:
    device = bench.device()
    first = bench.enrol(bench.wish("alice", token=bench.token(), password=PASSWORD, device=device))
    second = bench.enrol(bench.wish("alice", password=PASSWORD))
    assert bench.authority.revoke("alice", unix=UNIX, serial=first.serial) == (first.serial,)
    assert bench.configuration().revoked_serials == {first.serial}
    assert bench.configuration().sequence == 2
    with pytest.raises(RemoteError, match="shut out"):
        bench.renew(bench.signed(device, first))
    bench.enrol(bench.wish("alice", password=PASSWORD))
    assert second.serial in bench.authority.revoke("alice", unix=UNIX)
    assert bench.configuration().sequence == 3
    assert len(bench.configuration().revoked_serials) == 3
    assert bench.refusal(bench.wish("alice", password=PASSWORD)) == 403
    bench.authority.readmit("alice")
    bench.enrol(bench.wish("alice", password=PASSWORD))
    for call in (lambda: bench.authority.revoke("nobody", unix=UNIX), lambda: bench.authority.readmit("nobody")):
        with pytest.raises(RemoteError, match="no account"):
            call()
    with pytest.raises(RemoteError, match="no valid certificate"):
        bench.authority.revoke("alice", unix=UNIX, serial=first.serial)


def test_expired_certificates_leave_the_list_of_revoked(bench: Bench) -> None:
    first = bench.enrol(bench.wish("alice", token=bench.token()))
    bench.authority.revoke("alice", unix=UNIX)
    bench.unix = first.not_after + 1.0
    bench.enrol(bench.wish("bob", token=bench.token()))
    bench.authority.revoke("bob", unix=bench.unix)
    assert first.serial not in bench.configuration().revoked_serials
    assert len(bench.configuration().revoked_serials) == 1


def test_bans(bench: Bench) -> None:
    device = bench.device()
    held = bench.enrol(bench.wish("alice", token=bench.token(), device=device))
    assert bench.authority.ban(device.node.node_id, unix=UNIX) == 2
    assert bench.configuration().banned_node_ids == {device.node.node_id}
    with pytest.raises(RemoteError, match="shut out"):
        bench.renew(bench.signed(device, held))
    assert bench.refusal(bench.wish("alice", token=bench.token("alice"), device=device)) == 403
    assert bench.authority.unban(device.node.node_id, unix=UNIX) == 3
    bench.renew(bench.signed(device, held))
    with pytest.raises(RemoteError, match="20 bytes"):
        bench.authority.ban(b"", unix=UNIX)


def test_the_operator_adds_accounts_and_own_devices(bench: Bench) -> None:
    assert bench.authority.add_account("alice", unix=UNIX, password=PASSWORD, number=7000).number == 7000
    bench.enrol(bench.wish("alice", password=PASSWORD))
    with pytest.raises(RemoteError, match="taken"):
        bench.authority.add_account("alice", unix=UNIX)
    device = bench.device()
    request = certificate_request(device.signing, device.node)
    own = [bench.authority.admit("bootstrap", request, unix=UNIX) for _ in range(2)]
    assert verify_device(own[0], bench.authority.ca_der, UNIX).node_id == device.node.node_id
    assert bench.refusal(bench.wish("alice", password=PASSWORD, number=7001)) == 409
    bench.enrol(bench.wish("alice", password=PASSWORD, number=7000))


def test_invites(bench: Bench) -> None:
    invite = bench.authority.make_invite([("192.0.2.1", 4500)], unix=UNIX, lifetime_seconds=HOUR)
    assert invite.fingerprint == fingerprint(bench.authority.ca_der)
    bench.enrol(bench.wish("alice", token=invite.token))
    assert bench.authority.make_invite([("h", 1)], unix=UNIX, lifetime_seconds=None).token is None
    with pytest.raises(RemoteError, match="no account named bob"):
        bench.authority.make_invite([("h", 1)], unix=UNIX, lifetime_seconds=HOUR, name="bob")


def test_bounds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNTS_MAX", "DEVICES_PER_ACCOUNT_MAX", "TOKENS_MAX", "REVOCATIONS_MAX", "BANNED_NODES_MAX"):
        monkeypatch.setattr(rules, name, 3)
    for number in range(3):
        bench.enrol(bench.wish(f"name{number}", token=bench.token(), password=PASSWORD))
    with pytest.raises(RemoteError, match="unexpired tokens"):
        bench.token()
    monkeypatch.setattr(rules, "TOKENS_MAX", 9)
    assert bench.refusal(bench.wish("name3", token=bench.token())) == 503
    device = bench.device()
    for _ in range(2):
        bench.enrol(bench.wish("name0", password=PASSWORD, device=device))
    bench.enrol(bench.wish("name0", password=PASSWORD))
    assert bench.refusal(bench.wish("name0", password=PASSWORD)) == 409
    bench.enrol(bench.wish("name0", password=PASSWORD, device=device))
    with pytest.raises(RemoteError, match="at most 3 certificates"):
        bench.authority.revoke("name0", unix=UNIX)
    assert bench.configuration().sequence == 1
    for number in range(3):
        bench.authority.ban(bytes([number]) * 20, unix=UNIX)
    with pytest.raises(RemoteError, match="at most 3 Node-IDs"):
        bench.authority.ban(bytes([3]) * 20, unix=UNIX)


def test_the_memory_of_nonces_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NONCES_MAX", 2)
    bench.authority.add_account("alice", unix=UNIX, password=PASSWORD)
    for _ in range(2):
        bench.enrol(bench.wish("alice", password=PASSWORD))
    assert bench.refusal(bench.wish("alice", password=PASSWORD)) == 503
    bench.unix += FRESH_SECONDS_MAX + 1
    bench.enrol(bench.wish("alice", password=PASSWORD))


def test_a_full_list_of_bans_fits_into_a_configuration(bench: Bench) -> None:
    full = OverlayConfiguration(
        "home.example",
        2,
        int(UNIX),
        frozenset((1 << 62) - number for number in range(rules.REVOCATIONS_MAX)),
        frozenset(number.to_bytes(20, "big") for number in range(rules.BANNED_NODES_MAX)),
    )
    signed = sign_configuration(full, SigningKey.from_private(bench.storage.overlay().ca_key))
    assert verify_configuration(signed, bench.authority.ca_der) == full
