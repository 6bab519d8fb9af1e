"""Settings of a node: one TOML file, typed, with errors that say what to change. Everything has a default."""

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from p2psip.base.errors import P2psipError

SETTINGS_FILE = "p2psip.toml"


class SettingsError(P2psipError):
    """The settings file cannot be used; the text says where and why."""


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


IpText = Annotated[str, AfterValidator(_ip_address)]
PortNumber = Annotated[int, Field(ge=0, le=65_535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OverlaySettings(_Section):
    """`[overlay]`: the node's one UDP port. Port 0 takes any free one."""

    hosts: tuple[IpText, ...] = Field(default=("0.0.0.0", "::"), min_length=1, max_length=2)
    port: PortNumber = 0


class SipSettings(_Section):
    """`[sip]`: where phones register. Loopback unless said otherwise."""

    host: IpText = "127.0.0.1"
    port: PortNumber = 5060
    algorithms: tuple[Literal["MD5", "SHA-256"], ...] = Field(default=("MD5",), min_length=1)
    trust_registered_flows: bool = False


class MediaSettings(_Section):
    """`[media]`: the UDP ports that phones send RTP to; an even lower end."""

    first_port: PortNumber = 16_384
    last_port: PortNumber = 32_767


class LogSettings(_Section):
    """`[log]`: how much, and for whom."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = False


class Settings(_Section):
    """All sections of `p2psip.toml`."""

    overlay: OverlaySettings = OverlaySettings()
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    log: LogSettings = LogSettings()


def home_folder(chosen: Path | None) -> Path:
    """The folder for state and settings: the chosen one, else the platform's usual place."""
    return chosen if chosen is not None else platformdirs.user_data_path("p2psip")


def load_settings(home: Path, changes: dict[str, dict[str, Any]] | None = None) -> Settings:
    """The settings of `home`, with `changes` (from the command line) laid over the file; SettingsError otherwise."""
    path = home / SETTINGS_FILE
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text()) if path.exists() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    for section, values in (changes or {}).items():
        kept = {name: value for name, value in values.items() if value is not None}
        if kept and isinstance(table.setdefault(section, {}), dict):
            table[section] |= kept
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}: {where}: {_plain(first)}") from error


def _plain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such setting; look for a spelling mistake"
    return f"{str(error['msg']).removeprefix('Value error, ')} (it is {error['input']!r})"
