"""`[[trunk]]`: conventional providers, their numbers, and who may use them. No text that is made of this holds a password."""

import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from p2psip.app.settings_section import Section
from p2psip.base.errors import RemoteError
from p2psip.net.tls import why_unusable
from p2psip.sip.tls import trusting_context
from p2psip.sip.uri import SipUri, parse_uri
from p2psip.trunks.numbering import is_number
from p2psip.trunks.outside import TRUNKS_MAX
from p2psip.trunks.registration import EXPIRES_SECONDS_MAX, EXPIRES_SECONDS_MIN
from p2psip.trunks.trunk import IdentityStyle, Network, NumberStyle, Offer, Trunk

PASSWORD_BYTES_MAX = 1_024
NUMBERS_MAX = 1_000
MEMBERS_MAX = 256


def _server(text: str) -> str:
    try:
        uri = parse_uri(text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}")
    except RemoteError as error:
        raise ValueError(f'{text!r} is no SIP server: write "sip:sip.provider.example"') from error
    if not isinstance(uri, SipUri) or uri.user is not None:
        raise ValueError(
            f'{text!r} must name a server only: write "sip:sip.provider.example"; the account goes into user'
        )
    return str(uri)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise ValueError(f'{text!r} is no address or network, for example "203.0.113.0/28"') from error


def _number(text: str) -> str:
    if not is_number(text):
        raise ValueError(f'{text!r} is no telephone number, for example "+4930123456"')
    return text


def _address(text: str) -> str:
    if not text or any(letter.isspace() for letter in text):
        raise ValueError(f"{text!r} is neither a person nor a phone of this overlay")
    return text.lower()


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


NumberText = Annotated[str, AfterValidator(_number)]
AddressText = Annotated[str, AfterValidator(_address)]
IpText = Annotated[str, AfterValidator(_ip)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]{0,31}$")]


class TrunkSettings(Section):
    """One `[[trunk]]`: see docs/trunks.md."""

    name: Name
    server: Annotated[str, AfterValidator(_server)]
    domain: str = ""
    user: Annotated[str, Field(min_length=1, max_length=128)]
    auth_user: Annotated[str, Field(max_length=128)] = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    register_: bool = Field(default=True, alias="register")
    expires_seconds: Annotated[int, Field(ge=EXPIRES_SECONDS_MIN, le=EXPIRES_SECONDS_MAX)] = 600
    host: IpText = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    public_address: IpText | None = None
    certificate_authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    sources: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(default=(), max_length=64)
    numbers: dict[NumberText, AddressText] = Field(default_factory=dict, max_length=NUMBERS_MAX)
    default: AddressText | None = None
    country: Annotated[str, Field(pattern=r"^[0-9]{0,3}$")] = ""
    number_style: NumberStyle = "+e164"
    caller_id: NumberText | None = None
    caller_ids: dict[AddressText, tuple[NumberText, ...]] = Field(default_factory=dict, max_length=NUMBERS_MAX)
    identity: IdentityStyle = "from"
    codecs: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9\-.]{1,32}$")], ...] = Field(default=(), max_length=16)
    calls_max: Annotated[int, Field(ge=1, le=1_000)] = 4
    calls_per_minute_max: Annotated[int, Field(ge=1, le=1_000)] = 20
    health_seconds: Annotated[int, Field(ge=0, le=3_600)] = 30
    answer_seconds: Annotated[float, Field(ge=1, le=30)] = 4.0
    redirects_to: tuple[str, ...] = Field(default=(), max_length=16)
    offered_to: tuple[AddressText, ...] = Field(default=(), max_length=MEMBERS_MAX)
    offered_calls_max: Annotated[int, Field(ge=1, le=100)] = 1
    offered_calls_per_minute_max: Annotated[int, Field(ge=1, le=100)] = 4
    offered_minutes_per_day_max: Annotated[int, Field(ge=1, le=1_440)] = 60

    @model_validator(mode="after")
    def _fit_together(self) -> "TrunkSettings":
        if self.password.get_secret_value() and self.password_file is not None:
            raise ValueError("password and password_file exclude one another: keep the file")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: name both files or none")
        if "*" in self.offered_to:
            raise ValueError("a trunk is offered to named members only: list their addresses in offered_to")
        return self

    def trunk(self, home: Path, overlay: str) -> Trunk:
        """What the trunk is made of; ValueError when a file cannot be read. Paths are relative to `home`."""
        server = SipUri.parse(self.server)
        return Trunk(
            name=self.name,
            server=server,
            domain=self.domain or server.host,
            user=self.user,
            auth_user=self.auth_user,
            password=self.password.get_secret_value() or self._read_password(home),
            registers=self.register_,
            expires_seconds=self.expires_seconds,
            host=self.host,
            port=self.port,
            public_address=self.public_address,
            sources=tuple(_networks(self.sources)),
            numbers=self.numbers_of(overlay),
            default=None if self.default is None else full(self.default, overlay),
            country=self.country,
            number_style=self.number_style,
            caller_id=self.caller_id,
            caller_ids=self._caller_ids(overlay),
            identity=self.identity,
            codecs=self.codecs,
            calls_max=self.calls_max,
            calls_per_minute_max=self.calls_per_minute_max,
            offer=Offer(
                frozenset(full(member, overlay) for member in self.offered_to),
                self.offered_calls_max,
                self.offered_calls_per_minute_max,
                self.offered_minutes_per_day_max,
            ),
            health_seconds=self.health_seconds,
            answer_seconds=self.answer_seconds,
            redirects_to=tuple(each.lower() for each in self.redirects_to),
        )

    def numbers_of(self, overlay: str) -> dict[str, str]:
        """Its numbers, and whose they are."""
        return {number: full(who, overlay) for number, who in self.numbers.items()}

    def context(self, home: Path) -> ssl.SSLContext | None:
        """Who is trusted over TLS, and what we show there, if that is said; ValueError when the file cannot be used."""
        authority, certificate, key = (
            None if path is None else home / path for path in (self.certificate_authority, self.certificate, self.key)
        )
        if authority is None and certificate is None:
            return None
        try:
            return trusting_context(authority, certificate=certificate, key=key)
        except OSError as error:
            why = why_unusable(authority, certificate, key)
            raise ValueError(f"trunk {self.name}: its certificates cannot be used: {why}") from error

    def _caller_ids(self, overlay: str) -> dict[str, tuple[str, ...]]:
        """By account and by full address: a phone's own numbers go before those of its person."""
        found: dict[str, tuple[str, ...]] = {}
        for who, numbers in self.caller_ids.items():
            found[who] = found[full(who, overlay)] = numbers
        return found

    def _read_password(self, home: Path) -> str:
        if self.password_file is None:
            return ""
        path = home / self.password_file
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(PASSWORD_BYTES_MAX + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"trunk {self.name}: the password file {path} cannot be read") from error
        if len(text) > PASSWORD_BYTES_MAX:
            raise ValueError(f"trunk {self.name}: the password in {path} is longer than {PASSWORD_BYTES_MAX} letters")
        return text.strip()


Trunks = Annotated[tuple[TrunkSettings, ...], Field(max_length=TRUNKS_MAX)]


def check_trunks(trunks: Sequence[TrunkSettings], named: Iterable[str]) -> None:
    """ValueError for two of one name or port, and for a name in the dial plan (`named`) that no trunk has."""
    names = [trunk.name for trunk in trunks]
    for name in sorted(set(named) - set(names)):
        raise ValueError(f"the dial plan names a trunk {name!r}, and there is no [[trunk]] of this name")
    ports = [trunk.port for trunk in trunks if trunk.port]
    for port in ports:
        if ports.count(port) > 1:
            raise ValueError(f"two trunks want port {port}: give each a port of its own, or leave it out")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two trunks are called {name!r}: give each a name of its own")


def full(who: str, overlay: str) -> str:
    """`alice` as `alice@overlay`; a full address as it is."""
    return who if "@" in who else f"{who}@{overlay}"


def _networks(texts: Iterable[str]) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]
