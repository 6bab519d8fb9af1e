"""Settings of a node: one TOML file, typed, with errors that say what to change. Everything has a default."""

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import platformdirs
from pydantic import AfterValidator, Field, ValidationError, model_validator

from p2psip.app.settings_calls import CallsSettings
from p2psip.app.settings_dial_plan import DialPlanSettings, DnsSettings, trunks_named
from p2psip.app.settings_domain import DomainSettings
from p2psip.app.settings_presence import PresenceSettings
from p2psip.app.settings_section import FileOfHome, Section
from p2psip.app.settings_trunks import Trunks, check_trunks
from p2psip.base.errors import P2psipError
from p2psip.calls.answers import SESSION_SECONDS_MIN

SETTINGS_FILE = "p2psip.toml"
MEGABITS_MAX = 100_000.0
GIGABYTES_MAX = 1_000_000.0
SESSION_SECONDS_MAX = 86_400


class SettingsError(P2psipError):
    """The settings file cannot be used; the text says where and why."""


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


def _announced_address(text: str) -> str:
    address = ipaddress.ip_address(_ip_address(text))
    if address.is_unspecified or address.is_multicast or address.is_loopback or address.is_link_local:
        raise ValueError(f"{text!r} is no address that others can reach: name the public one")
    return str(address)


def _session_seconds(value: int) -> int:
    if 0 < value < SESSION_SECONDS_MIN:
        raise ValueError(f"take {SESSION_SECONDS_MIN} or more, or 0 for no session timers")
    return value


IpText = Annotated[str, AfterValidator(_ip_address)]
AnnouncedIpText = Annotated[str, AfterValidator(_announced_address)]
SessionSeconds = Annotated[int, Field(ge=0, le=SESSION_SECONDS_MAX), AfterValidator(_session_seconds)]
PortNumber = Annotated[int, Field(ge=0, le=65_535)]
Megabits = Annotated[float, Field(gt=0, le=MEGABITS_MAX)]
Gigabytes = Annotated[float, Field(gt=0, le=GIGABYTES_MAX)]


class OverlaySettings(Section):
    """`[overlay]`: the node's one UDP port. Port 0 takes any free one."""

    hosts: tuple[IpText, ...] = Field(default=("0.0.0.0", "::"), min_length=1, max_length=2)
    port: PortNumber = 0
    role: Literal["auto", "peer", "client"] = "auto"


class SipSettings(Section):
    """`[sip]`: where phones register: UDP and TCP on `port`, and what else has a port (0: off). Loopback unless said otherwise.

    `more_hosts` are opened too, as "::" beside "0.0.0.0". A phone that vanished in a call is noticed within `session_seconds`
    (RFC 4028; 0: only when somebody hangs up). Without `certificate` and `key` the node's own authority issues one.
    """

    host: IpText = "127.0.0.1"
    more_hosts: tuple[IpText, ...] = Field(default=(), max_length=4)
    port: PortNumber = 5060
    tls_port: PortNumber = 0
    ws_port: PortNumber = 0
    wss_port: PortNumber = 0
    certificate: FileOfHome | None = None
    key: FileOfHome | None = None
    algorithms: tuple[Literal["MD5", "SHA-256"], ...] = Field(default=("MD5",), min_length=1)
    trust_registered_flows: bool = False
    srtp: Literal["off", "offered", "required"] = "offered"
    session_seconds: SessionSeconds = 1_800

    @model_validator(mode="after")
    def _fit_together(self) -> "SipSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: name both files or none")
        ports = [port for port in (self.port, self.tls_port, self.ws_port, self.wss_port) if port]
        if len(set(ports)) < len(ports):
            raise ValueError("port, tls_port, ws_port and wss_port must differ from one another")
        return self


class MediaSettings(Section):
    """`[media]`: the UDP ports that phones send RTP to; an even lower end."""

    first_port: PortNumber = 16_384
    last_port: PortNumber = 32_767

    @model_validator(mode="after")
    def _in_order(self) -> "MediaSettings":
        if self.last_port <= self.first_port:
            raise ValueError("last_port must be greater than first_port: every call needs two ports")
        return self


class NetworkSettings(Section):
    """`[network]`: whether the router is asked to let others in (PCP, NAT-PMP, UPnP)."""

    port_mapping: bool = True


class RelaySettings(Section):
    """`[relay]`: volunteering as a super-node, and what it may cost. Rates are in megabits per second, both ways together.

    `external_hosts` names the public addresses of a machine that does not have them itself (one-to-one NAT). `coturn_*` announces
    a coturn (started with `--use-auth-secret --static-auth-secret`) in the place of our own relay.
    """

    volunteer: bool = False
    external_hosts: tuple[AnnouncedIpText, ...] = Field(default=(), max_length=2)
    tls_port: PortNumber = 443
    first_port: Annotated[int, Field(ge=1_024, le=65_535)] = 49_152
    last_port: Annotated[int, Field(ge=1_024, le=65_535)] = 65_535
    clients_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    allocations_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    allocations_per_user_max: Annotated[int, Field(ge=1, le=100)] = 8
    megabits_max: Megabits = 20.0
    megabits_per_user_max: Megabits = 1.0
    gigabytes_per_month_max: Gigabytes = 200.0
    on_battery: bool = False
    allow_private_peers: bool = False
    certificate: FileOfHome | None = None
    key: FileOfHome | None = None
    metrics_port: PortNumber = 0
    coturn_host: IpText | None = None
    coturn_port: PortNumber = 3_478
    coturn_tls_port: PortNumber = 0
    coturn_secret: str = ""

    @model_validator(mode="after")
    def _fit_together(self) -> "RelaySettings":
        if self.last_port <= self.first_port:
            raise ValueError("last_port must be greater than first_port: every relayed call needs a port")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: name both files or none")
        if self.coturn_host is not None and not self.coturn_secret:
            raise ValueError(
                "coturn_host needs coturn_secret, the static-auth-secret that this coturn was started with"
            )
        return self


class LogSettings(Section):
    """`[log]`: how much, and for whom."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = False


class Settings(Section):
    """All sections of `p2psip.toml`."""

    overlay: OverlaySettings = OverlaySettings()
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    network: NetworkSettings = NetworkSettings()
    relay: RelaySettings = RelaySettings()
    dns: DnsSettings = DnsSettings()
    dial_plan: DialPlanSettings | None = None
    trunk: Trunks = ()
    presence: PresenceSettings = PresenceSettings()
    calls: CallsSettings = CallsSettings()
    log: LogSettings = LogSettings()
    domain: DomainSettings = DomainSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if self.overlay.role == "client" and self.relay.volunteer:
            raise ValueError(
                'a node with [overlay] role = "client" cannot relay for others: remove it, or do not volunteer'
            )
        check_trunks(self.trunk, trunks_named(self.dial_plan) if self.dial_plan is not None else ())
        return self


def home_folder(chosen: Path | None) -> Path:
    """The folder for state and settings: the chosen one, else the platform's usual place."""
    return chosen if chosen is not None else platformdirs.user_data_path("p2psip")


def load_settings(home: Path, changes: dict[str, dict[str, Any]] | None = None) -> Settings:
    """The settings of `home`, with `changes` (from the command line) laid over the file; SettingsError otherwise."""
    path = home / SETTINGS_FILE
    table = _read(path)
    chosen: set[str] = set()
    for section, values in (changes or {}).items():
        kept = {name: value for name, value in values.items() if value is not None}
        if kept and isinstance(table.setdefault(section, {}), dict):
            table[section] |= kept
            chosen |= {f"{section}.{name}" for name in kept}
    try:
        return Settings.model_validate(table, context={"home": home})
    except ValidationError as error:
        first = _most_telling(error.errors())
        names = [str(part) for part in first["loc"]]
        source = "on the command line" if ".".join(names[:2]) in chosen else f"in {path}"
        raise SettingsError(
            f"{', '.join([source, *filter(None, ['.'.join(names)])])}: {_plain(first, names)}"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"the settings file {path} is no UTF-8 text (byte {error.start}): save it as UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}; correct that place or remove the file") from error


def _most_telling(errors: list[Any]) -> Any:
    """A name that does not exist goes before one that is missing: it may be the same, mistyped."""
    return next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])


def _plain(error: Any, names: list[str]) -> str:
    if error["type"] == "extra_forbidden":
        return f"there is no such setting; there {_known(names[:-1])}"
    if error["type"] == "model_type":
        return f"this must be a section, [{names[-1]}] on a line of its own"
    if error["type"] == "tuple_type" and isinstance(error["input"], dict):
        return f"there may be several of these: write [[{'.'.join(names)}]], with two brackets on each side"
    if error["type"] == "tuple_type":
        return "this must be a list: write [ and ] around it"
    if error["type"] == "missing":
        return f"this setting is needed here: add a line {names[-1]} = …"
    if error["type"] in ("bool_parsing", "bool_type"):
        return "write true or false, without quotation marks"
    words = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "it must be", 1)
    may_be_secret = isinstance(error["input"], dict) or "password" in names
    return words if may_be_secret else f"{words} (it is {error['input']!r})"


def _known(section: list[str]) -> str:
    model: Any = Settings
    for name in section:
        model = _model_in(model.model_fields[name].annotation) if name in model.model_fields else model
    return f"are {', '.join(field.alias or name for name, field in model.model_fields.items())}"


def _model_in(annotation: Any) -> Any:
    """The section that a field holds, be it one of several or none at all."""
    found = [_model_in(each) for each in get_args(annotation)]
    return annotation if hasattr(annotation, "model_fields") else next(filter(None, found), None)
