"""The rules of the bootstrap server: who is given a certificate, how it is renewed, how it is taken away.

Synchronous; `unix` and `now` are handed in, rows go through `bootstrap.ledger.Storage`. Calls come one after the other
(the shell sees to it). Errors are RemoteErrors with an HTTP status and a sentence that says what to do. RFC 6940 §11.3 has
the idea of an enrolment server; the protocol here is our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootstrap.credentials import check_password, hash_password, hash_token, new_token, password_matches
from bootstrap.guesses import GuessLimiter, account_key, source_key
from bootstrap.invite import Invite
from bootstrap.ledger import Account, IssuedCertificate, OverlayRow, Storage, Token
from bootstrap.messages import RENEW, DeviceRequest, EnrolRequest, signed_bytes
from bootstrap.names import NUMBER_FIRST, NUMBER_MOST, RESERVED_NAMES, check_name, check_number, check_overlay_name
from bootstrap.pinning import issue_server
from p2psip.base.certificates import (
    create_authority,
    fingerprint,
    issue_device,
    read_certificate_request,
    verify_device,
)
from p2psip.base.chance import Chance
from p2psip.base.configuration import OverlayConfiguration, sign_configuration, verify_configuration
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.base.keys import NODE_ID_BYTES, SigningKey, verify_signature

DEVICE_LIFETIME_SECONDS = 30 * 86_400
RENEW_REMAINING_SECONDS = 20 * 86_400
FRESH_SECONDS_MAX = 300
ACCOUNTS_MAX = 100_000
DEVICES_PER_ACCOUNT_MAX = 16
TOKENS_MAX = 10_000
NONCES_MAX = 20_000
REVOCATIONS_MAX = 2_000
BANNED_NODES_MAX = 500
_SERIAL_BITS = 62


@dataclass(frozen=True, slots=True)
class _Device:
    signing_key: bytes
    node_id: bytes


class Authority:
    """The authority of one overlay."""

    def __init__(self, storage: Storage, chance: Chance) -> None:
        self._storage = storage
        self._chance = chance
        self._guesses = GuessLimiter()
        row = storage.overlay()
        self.overlay = row.name
        self.ca_der = row.ca_der
        self._key = SigningKey.from_private(row.ca_key)

    @classmethod
    def create(cls, storage: Storage, overlay: str, *, unix: float, chance: Chance) -> "Authority":
        """A new overlay with a fresh authority key and configuration number 1."""
        name = check_overlay_name(overlay)
        key = SigningKey.generate(chance)
        ca_der = create_authority(name, key, int(unix))
        configuration = sign_configuration(OverlayConfiguration(name, 1, int(unix)), key)
        with storage.transaction():
            storage.create(OverlayRow(name, key.private, ca_der, configuration), NUMBER_FIRST)
        return cls(storage, chance)

    # --- what anybody may ask

    def configuration(self) -> bytes:
        """The newest signed configuration."""
        return self._storage.overlay().configuration

    def sequence(self) -> int:
        """The sequence number of the newest configuration."""
        return verify_configuration(self.configuration(), self.ca_der).sequence

    # --- what newcomers and devices ask

    def enrol(self, request: EnrolRequest, source: str, *, unix: float, now: float) -> bytes:
        """The device certificate (DER) that `request` from the host `source` earns; else RemoteError."""
        _check_fresh(request.timestamp, unix)
        self._guesses.check(source_key(source), now)
        self._refuse_replay(request.nonce)
        name = check_name(request.name)
        device = _Device(*read_certificate_request(request.certificate_request))
        if not self._by_token(request, name):
            self._check_password(name, request.password, source, now)
            return self._enrol_known(request, name, device, unix)
        token = self._check_token(request, name, source, unix, now)
        if token.used_serial is not None:
            return self._again(token, name, device)
        return self._enrol_by_token(request, name, device, token, unix)

    def renew(self, request: DeviceRequest, *, unix: float) -> bytes:
        """A newer certificate for the device that signed `request`; its present one while that is still young."""
        if request.purpose != RENEW:
            raise RemoteError("this request was signed for another purpose than a renewal", status=403)
        held = self.check_device(request, unix=unix)
        newest = max(
            (each for each in self._live(held.account, unix) if _Device(each.signing_key, each.node_id) == _of(held)),
            key=lambda each: each.not_after,
        )
        if newest.not_after - unix > RENEW_REMAINING_SECONDS:
            return newest.der
        account = self._storage.account(held.account)
        assert account is not None
        with self._storage.transaction():
            return self._issue(account, _of(held), unix).der

    def check_device(self, request: DeviceRequest, *, unix: float) -> IssuedCertificate:
        """The certificate of the device that signed `request`, still good; each request counts once."""
        _check_fresh(request.timestamp, unix)
        self._refuse_replay(request.nonce)
        certificate = verify_device(request.certificate_der, self.ca_der, unix)
        signed = signed_bytes(request.purpose, self.overlay, request.timestamp, request.nonce)
        verify_signature(certificate.signing_key, request.signature, signed)
        held = self._storage.certificate(certificate.serial)
        if held is None or held.revoked or held.node_id in self._storage.bans():
            raise RemoteError("this device was shut out: ask the overlay's operator for a new invite", status=403)
        with self._storage.transaction():
            self._spend_nonce(request.nonce, request.timestamp, unix)
        return held

    # --- what the operator does

    def make_token(self, *, unix: float, lifetime_seconds: float, name: str | None = None) -> str:
        """A new one-time token: for a new account, or for one more device of the account `name`."""
        bound = None if name is None else self._existing(name).name
        token = new_token(self._chance)
        with self._storage.transaction():
            self._storage.forget_expired(unix)
            if self._storage.token_count() >= TOKENS_MAX:
                raise RemoteError(f"there are {TOKENS_MAX} unexpired tokens: wait until some expire", status=503)
            self._storage.save_token(Token(hash_token(token), bound, int(unix + lifetime_seconds)))
        return token

    def make_invite(
        self, bootstraps: Sequence[Address], *, unix: float, lifetime_seconds: float | None, name: str | None = None
    ) -> Invite:
        """An invite to this overlay; with `lifetime_seconds` None it holds no token (for people with a password)."""
        token = None
        if lifetime_seconds is not None:
            token = self.make_token(unix=unix, lifetime_seconds=lifetime_seconds, name=name)
        return Invite(self.overlay, fingerprint(self.ca_der), tuple(bootstraps), token)

    def add_account(self, name: str, *, unix: float, password: str | None = None, number: int | None = None) -> Account:
        """A new account, made by the operator. Reserved names are open to the operator."""
        stored = None if password is None else hash_password(check_password(password), self._chance)
        with self._storage.transaction():
            return self._open_account(check_name(name), stored, number, unix)

    def admit(self, name: str, certificate_request: bytes, *, unix: float) -> bytes:
        """A device certificate (DER) for the operator's own device, such as the bootstrap server's node; no password."""
        device = _Device(*read_certificate_request(certificate_request))
        with self._storage.transaction():
            account = self._storage.account(check_name(name)) or self._open_account(check_name(name), None, None, unix)
            return self._issue(account, device, unix).der

    def accounts(self) -> list[Account]:
        """All accounts by name."""
        return self._storage.accounts()

    def devices(self, name: str, *, unix: float) -> list[IssuedCertificate]:
        """The unexpired certificates of an account (revoked ones included), oldest first."""
        return self._storage.certificates(self._existing(name).name, unix)

    def revoke(self, name: str, *, unix: float, serial: int | None = None) -> tuple[int, ...]:
        """Shut out one device, or (without `serial`) the person: all devices, and the account until `readmit`."""
        account = self._existing(name)
        with self._storage.transaction():
            chosen = [each for each in self._live(account.name, unix) if serial is None or each.serial == serial]
            if serial is not None and not chosen:
                raise RemoteError(f"{account.name} has no valid certificate with that serial number", status=404)
            for each in chosen:
                self._storage.save_certificate(replace(each, revoked=True))
            if serial is None:
                self._storage.save_account(replace(account, closed=True))
            self._publish(unix)
        return tuple(each.serial for each in chosen)

    def readmit(self, name: str) -> None:
        """Let a person who was shut out enrol again; revoked certificates stay revoked."""
        self._storage.save_account(replace(self._existing(name), closed=False))

    def ban(self, node_id: bytes, *, unix: float) -> int:
        """Shut out a Node-ID whatever its certificate; the configuration's new sequence number."""
        if len(node_id) != NODE_ID_BYTES:
            raise RemoteError(f"a Node-ID has {NODE_ID_BYTES} bytes")
        return self._set_bans({*self._storage.bans(), node_id}, unix)

    def unban(self, node_id: bytes, *, unix: float) -> int:
        """Take a ban back; the configuration's new sequence number."""
        return self._set_bans(set(self._storage.bans()) - {node_id}, unix)

    def issue_server(self, server: SigningKey, *, unix: float) -> bytes:
        """A certificate (DER) for the HTTPS server's key."""
        return issue_server(self.ca_der, self._key, server, self._chance.integer(_SERIAL_BITS) + 1, unix)

    # --- credentials

    def _by_token(self, request: EnrolRequest, name: str) -> bool:
        if request.token is None:
            return False
        if request.password is None or self._storage.account(name) is None:
            return True
        token = self._storage.token(hash_token(request.token))
        return token is not None and token.account == name

    def _check_password(self, name: str, password: str | None, source: str, now: float) -> None:
        if password is None:
            raise RemoteError("an invite with a token, or the account's password, is needed: give --password")
        self._guesses.check(account_key(name), now)
        account = self._storage.account(name)
        if not password_matches(password, account.password if account else None):
            self._guesses.failed(source_key(source), now)
            self._guesses.failed(account_key(name), now)
            raise RemoteError("wrong name or password: check both, or ask the operator for an invite", status=403)
        self._guesses.succeeded(account_key(name))

    def _check_token(self, request: EnrolRequest, name: str, source: str, unix: float, now: float) -> Token:
        token = self._storage.token(hash_token(request.token or ""))
        words = None
        if token is None:
            words = "this invite's token is unknown here: copy the whole link, or ask for a new one"
        elif unix > token.expires:
            words = "this invite has expired: ask for a new one"
        elif token.account not in (None, name):
            words = "this invite is for another name: ask for one of your own"
        if token is None or words is not None:
            self._guesses.failed(source_key(source), now)
            raise RemoteError(words or "", status=403)
        return token

    def _again(self, token: Token, name: str, device: _Device) -> bytes:
        """The answer to a token's owner may have been lost: the same device is given the same certificate again."""
        issued = self._storage.certificate(token.used_serial or 0)
        if issued is None or issued.revoked or issued.account != name or _of(issued) != device:
            raise RemoteError("this invite was used already: ask for a new one", status=403)
        return issued.der

    # --- enrolment, inside of one transaction

    def _enrol_known(self, request: EnrolRequest, name: str, device: _Device, unix: float) -> bytes:
        with self._storage.transaction():
            self._spend_nonce(request.nonce, request.timestamp, unix)
            account = self._existing(name)
            if request.number not in (None, account.number):
                raise RemoteError(f"{name} has the number {account.number} already: leave the number out", status=409)
            return self._issue(account, device, unix).der

    def _enrol_by_token(self, request: EnrolRequest, name: str, device: _Device, token: Token, unix: float) -> bytes:
        password = None
        if request.password is not None:
            password = hash_password(check_password(request.password), self._chance)
        with self._storage.transaction():
            self._spend_nonce(request.nonce, request.timestamp, unix)
            if self._storage.token(token.hash) != token:
                raise RemoteError("this invite was used this very moment: ask for a new one", status=409)
            account = self._storage.account(name)
            if account is None:
                if name in RESERVED_NAMES:
                    raise RemoteError(f"the name {name} is reserved: choose another name", status=409)
                account = self._open_account(name, password, request.number, unix)
            elif token.account is None:
                words = f"the name {name} is taken: choose another, or give its password if it is yours"
                raise RemoteError(words, status=409)
            elif password is not None:
                account = replace(account, password=password)
                self._storage.save_account(account)
            issued = self._issue(account, device, unix)
            self._storage.save_token(replace(token, used_serial=issued.serial))
        return issued.der

    def _open_account(self, name: str, password: str | None, number: int | None, unix: float) -> Account:
        if self._storage.account(name) is not None:
            raise RemoteError(f"the name {name} is taken: choose another", status=409)
        if self._storage.account_count() >= ACCOUNTS_MAX:
            raise RemoteError(f"this overlay has {ACCOUNTS_MAX} accounts and takes no more", status=503)
        if number is None:
            number = self._free_number()
        elif self._storage.account_of_number(check_number(number)) is not None:
            raise RemoteError(f"the number {number} is taken: choose another, or leave it out", status=409)
        account = Account(name, number, password, int(unix))
        self._storage.save_account(account)
        return account

    def _free_number(self) -> int:
        for _attempt in range(ACCOUNTS_MAX):
            number = self._storage.take_number()
            if number <= NUMBER_MOST and self._storage.account_of_number(number) is None:
                return number
        raise RemoteError("all numbers are taken: choose one yourself", status=503)

    def _issue(self, account: Account, device: _Device, unix: float) -> IssuedCertificate:
        self._check_may_have(account, device, unix)
        serial, end = self._chance.integer(_SERIAL_BITS) + 1, int(unix) + DEVICE_LIFETIME_SECONDS
        der = issue_device(
            self.ca_der,
            self._key,
            signing_public=device.signing_key,
            node_id=device.node_id,
            addresses=(f"{account.name}@{self.overlay}", f"{account.number}@{self.overlay}"),
            serial=serial,
            not_before=int(unix),
            not_after=end,
        )
        issued = IssuedCertificate(serial, account.name, device.node_id, device.signing_key, der, end)
        self._storage.save_certificate(issued)
        return issued

    def _check_may_have(self, account: Account, device: _Device, unix: float) -> None:
        if account.closed or device.node_id in self._storage.bans():
            raise RemoteError("this account or device was shut out: ask the overlay's operator", status=403)
        if self._storage.owner(device.node_id) not in (None, account.name):
            raise RemoteError("this Node-ID belongs to another account: make a new node key", status=409)
        others = {each.node_id for each in self._live(account.name, unix)} - {device.node_id}
        if len(others) >= DEVICES_PER_ACCOUNT_MAX:
            words = f"{account.name} has {len(others)} devices already: ask the operator to revoke one"
            raise RemoteError(words, status=409)

    def _live(self, name: str, unix: float) -> list[IssuedCertificate]:
        return [each for each in self._storage.certificates(name, unix) if not each.revoked]

    # --- replay, bans

    def _refuse_replay(self, nonce: bytes) -> None:
        if self._storage.nonce_seen(nonce):
            raise RemoteError("this request was served already: send a new one", status=409)

    def _spend_nonce(self, nonce: bytes, timestamp: int, unix: float) -> None:
        self._refuse_replay(nonce)
        self._storage.forget_expired(unix)
        if self._storage.nonce_count() >= NONCES_MAX:
            raise RemoteError("the server is busy: try again in five minutes", status=503)
        self._storage.save_nonce(nonce, timestamp + FRESH_SECONDS_MAX)

    def _set_bans(self, node_ids: set[bytes], unix: float) -> int:
        if len(node_ids) > BANNED_NODES_MAX:
            raise RemoteError(f"at most {BANNED_NODES_MAX} Node-IDs can be banned: take some bans back", status=409)
        with self._storage.transaction():
            self._storage.save_bans(sorted(node_ids))
            return self._publish(unix)

    def _publish(self, unix: float) -> int:
        serials, bans = self._storage.revoked_serials(unix), self._storage.bans()
        if len(serials) > REVOCATIONS_MAX:
            words = f"at most {REVOCATIONS_MAX} certificates can be revoked at a time: ban a Node-ID, or wait"
            raise RemoteError(words, status=409)
        sequence = self.sequence() + 1
        newer = OverlayConfiguration(self.overlay, sequence, int(unix), frozenset(serials), frozenset(bans))
        self._storage.set_configuration(sign_configuration(newer, self._key))
        return sequence

    def _existing(self, name: str) -> Account:
        account = self._storage.account(check_name(name))
        if account is None:
            raise RemoteError(f"there is no account named {name}", status=404)
        return account


def _of(issued: IssuedCertificate) -> _Device:
    return _Device(issued.signing_key, issued.node_id)


def _check_fresh(timestamp: int, unix: float) -> None:
    away = timestamp - unix
    if abs(away) > FRESH_SECONDS_MAX:
        words = f"this request is dated {abs(away):.0f} s in the {'future' if away > 0 else 'past'}"
        raise RemoteError(f"{words}: set this machine's clock, then send a new one")
