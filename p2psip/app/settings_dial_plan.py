"""`[dial_plan]` and `[dns]`: where numbers and names of elsewhere go, what they may cost, and who is asked for names."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from p2psip.app.settings_section import Section
from p2psip.base.core import Address
from p2psip.base.errors import LocalError
from p2psip.naming.countries import COUNTRIES
from p2psip.naming.dial_plan import ROOTS_MAX, RULES_MAX, TRUNKS_MAX, DialPlan
from p2psip.naming.dial_rules import Pattern, Rule, check_template
from p2psip.naming.numbers import is_e164
from p2psip.naming.questions import DNS_PORT, SERVERS_MAX, is_host_name
from p2psip.naming.routing import STAGES, StageName

WORDS_CHARACTERS_MAX = 200
CALLERS_MAX = 64
DOMAINS_MAX = 256
COUNTRIES_MAX = 256


def _pattern(text: str) -> str:
    return _kept(lambda: Pattern.parse(text).text)


def _template(text: str) -> str:
    return _kept(lambda: check_template(text))


def _kept(read: Any) -> str:
    try:
        return str(read())
    except LocalError as error:
        raise ValueError(str(error)) from error


def _root(text: str) -> str:
    name = text.lower().rstrip(".")
    if not is_host_name(name):
        raise ValueError(f"{text!r} is no domain name; the public tree of ENUM is e164.arpa")
    return name


def _country(text: str) -> str:
    if text.upper() not in COUNTRIES:
        raise ValueError(f"{text!r} is not in the table of countries: {', '.join(sorted(COUNTRIES))}")
    return text.upper()


def _listed(text: str) -> str:
    is_code = text.startswith("+") and text[1:].isascii() and text[1:].isdigit() and len(text) <= 16
    is_shared = not text.startswith("+") and len(text) == 2 and text.isascii() and text.isalpha()
    if not (is_code or is_shared or text == "*"):
        raise ValueError(f'{text!r} is no country: use a code of two letters, a prefix like "+44", or "*" for all')
    return text.upper()


def _server(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        return (str(ipaddress.ip_address(host)), int(port) if port else DNS_PORT)
    except ValueError as error:
        raise ValueError(f'{text!r} is no server: use an address, or "address:port"') from error


PatternText = Annotated[str, AfterValidator(_pattern)]
TemplateText = Annotated[str, AfterValidator(_template)]
Words = Annotated[str, Field(min_length=1, max_length=WORDS_CHARACTERS_MAX)]
Digits = Annotated[str, Field(pattern=r"^[0-9]{0,8}$")]
Prefix = Annotated[str, Field(pattern=r"^[0-9]{1,8}$")]
EmergencyNumber = Annotated[str, Field(pattern=r"^[0-9]{2,8}$")]


class DnsSettings(Section):
    """`[dns]`: the recursive servers that are asked; without any, those of /etc/resolv.conf."""

    servers: tuple[Annotated[tuple[str, int], BeforeValidator(_server)], ...] = Field(
        default=(), max_length=SERVERS_MAX
    )

    def addresses(self) -> list[Address]:
        """The servers; none: ask the system."""
        return list(self.servers)


class RuleSettings(Section):
    """One `[[dial_plan.rules]]`."""

    match: PatternText
    name: Annotated[str, Field(max_length=WORDS_CHARACTERS_MAX)] = ""
    order: tuple[StageName, ...] | None = None
    trunks: tuple[str, ...] | None = Field(default=None, max_length=TRUNKS_MAX)
    via: str | None = None
    dial: TemplateText | None = None
    number: TemplateText | None = None
    target: TemplateText | None = None
    deny: Words | None = None
    premium: bool = False
    callers: tuple[str, ...] = Field(default=(), max_length=CALLERS_MAX)

    @model_validator(mode="after")
    def _one_thing(self) -> "RuleSettings":
        ways = [name for name in ("trunks", "via", "target", "deny") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(f"a rule does one thing: {' and '.join(ways)} exclude one another")
        if self.target is not None and not self.target.lower().startswith(("sip:", "sips:")):
            raise ValueError('target is a SIP URI, for example "sip:{rest}@peer.example"')
        if self.via is not None and "@" not in self.via:
            raise ValueError('via is the address of the member who has the trunk, for example "bob@home.example"')
        return self


class DialPlanSettings(Section):
    """`[dial_plan]`: see docs/dial-plan.md. Left out, only this node and the overlay are asked."""

    country: Annotated[str, AfterValidator(_country)] | None = None
    international_prefixes: tuple[Prefix, ...] | None = Field(default=None, max_length=8)
    national_prefix: Digits | None = None
    area_code: Digits = ""
    outside_prefix: Digits = ""
    order: tuple[StageName, ...] = STAGES
    enum_roots: tuple[Annotated[str, AfterValidator(_root)], ...] = Field(default=(), max_length=ROOTS_MAX)
    trunks: tuple[str, ...] = Field(default=(), max_length=TRUNKS_MAX)
    countries: tuple[Annotated[str, AfterValidator(_listed)], ...] | None = Field(
        default=None, max_length=COUNTRIES_MAX
    )
    domains: tuple[str, ...] = Field(default=(), max_length=DOMAINS_MAX)
    private_hosts: bool = False
    emergency_trunk: str | None = None
    emergency_numbers: tuple[EmergencyNumber, ...] = ()
    rules: tuple[RuleSettings, ...] = Field(default=(), max_length=RULES_MAX)

    @model_validator(mode="after")
    def _fit_together(self) -> "DialPlanSettings":
        if len(set(self.order)) != len(self.order):
            raise ValueError("order names a stage twice")
        if self.country is None and (self.national_prefix or self.international_prefixes or self.area_code):
            raise ValueError("prefixes and area_code need the country that they belong to: set country")
        return self


def dial_plan_of(settings: DialPlanSettings | None, overlay: str, own_numbers: Mapping[str, str]) -> DialPlan:
    """The plan that the settings describe; `own_numbers` are those that trunks bring here (E.164), and who has them."""
    own = {number: address for number, address in own_numbers.items() if is_e164(number)}
    if settings is None:
        return DialPlan(overlay, own_numbers=own)
    country = None if settings.country is None else COUNTRIES[settings.country]
    if country is not None:
        prefixes = settings.international_prefixes or country.international_prefixes
        country = replace(
            country,
            international_prefixes=tuple(sorted(prefixes, key=len, reverse=True)),
            national_prefix=country.national_prefix if settings.national_prefix is None else settings.national_prefix,
        )
    allowed = settings.countries if settings.countries is not None else (settings.country,) if settings.country else ()
    return DialPlan(
        overlay,
        is_configured=True,
        country=country,
        order=settings.order,
        enum_roots=settings.enum_roots,
        trunks=settings.trunks,
        allowed=frozenset(allowed),
        domains=settings.domains,
        rules=tuple([_rule(number, rule) for number, rule in enumerate(settings.rules, 1)]),
        emergency_trunk=settings.emergency_trunk,
        emergency_numbers=frozenset(settings.emergency_numbers),
        area_code=settings.area_code,
        outside_prefix=settings.outside_prefix,
        own_numbers=own,
    )


def trunks_named(settings: DialPlanSettings) -> set[str]:
    """All trunks that the plan names, so that a name that does not exist is found at the start and not at a call."""
    names = {*settings.trunks, *(name for rule in settings.rules for name in rule.trunks or ())}
    return names | ({settings.emergency_trunk} if settings.emergency_trunk else set())


def _rule(number: int, rule: RuleSettings) -> Rule:
    return Rule(
        rule.name or str(number),
        Pattern.parse(rule.match),
        stages=rule.order,
        trunks=rule.trunks,
        via=rule.via,
        dial=rule.dial,
        number=rule.number,
        target=rule.target,
        deny=rule.deny,
        premium=rule.premium,
        callers=frozenset(caller.lower() for caller in rule.callers),
    )
