"""`[domain]`: the public door, through which the open SIP world calls the people of this node. Closed unless it is given a name."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from p2psip.app.settings_section import FileOfHome, Section
from p2psip.calls.admission import AdmissionLimits
from p2psip.calls.strangers import DomainDoor

PEOPLE_MAX = 1_000
_NAME = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9\-]{0,61}[a-z0-9])?")


def _domain_name(text: str) -> str:
    name = text.lower().rstrip(".")
    if name and not _NAME.fullmatch(name):
        raise ValueError(f"{text!r} is no domain name: write it as in alice@example.org, without the name")
    return name


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


class DomainSettings(Section):
    """`[domain]`: `name` is the domain whose SRV records lead here ("": the door stays closed).

    `people` are more names of the overlay, beside those of this node's own person, who may be called from outside. UDP and
    TCP are on `port`, which the SRV records name; TLS (with the certificate of `name`) on `tls_port`, 0 for none.
    """

    name: Annotated[str, AfterValidator(_domain_name)] = ""
    hosts: tuple[Annotated[str, AfterValidator(_ip_address)], ...] = Field(
        default=("0.0.0.0",), min_length=1, max_length=4
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = 5_062
    tls_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    certificate: FileOfHome | None = None
    key: FileOfHome | None = None
    people: tuple[str, ...] = Field(default=(), max_length=PEOPLE_MAX)
    calls_max: Annotated[int, Field(ge=1, le=500)] = 10
    calls_per_host_max: Annotated[int, Field(ge=1, le=500)] = 2
    calls_per_minute_max: Annotated[int, Field(ge=1, le=10_000)] = 60
    calls_per_minute_per_host_max: Annotated[int, Field(ge=1, le=10_000)] = 6
    ringing_seconds_max: Annotated[int, Field(ge=5, le=180)] = 60

    @model_validator(mode="after")
    def _fit_together(self) -> "DomainSettings":
        if self.model_fields_set and "name" not in self.model_fields_set:
            raise ValueError(
                'name is needed, as in alice@NAME: without it the door stays closed (name = "" keeps it so)'
            )
        if self.tls_port and (self.certificate is None or self.key is None):
            raise ValueError("tls_port needs certificate and key, two files in PEM, of a certificate for this domain")
        if self.tls_port and self.tls_port == self.port:
            raise ValueError("port (UDP and TCP) and tls_port must differ")
        return self

    def door(self, overlay: str, own: tuple[str, ...]) -> DomainDoor | None:
        """What the public door serves for a person with the addresses `own`; None when it is closed."""
        if not self.name:
            return None
        listed = (f"{name.lower().partition('@')[0]}@{overlay}" for name in self.people)
        return DomainDoor(
            self.name,
            {address.partition("@")[0]: address for address in (*listed, *own)},
            AdmissionLimits(
                self.calls_max,
                self.calls_per_host_max,
                float(self.calls_per_minute_max),
                float(self.calls_per_minute_per_host_max),
            ),
            float(self.ringing_seconds_max),
        )
