"""Where a dialled name or number may go, in which order, and what it may not do: the dial plan as a pure function.

Emergency numbers come first; then the numbers of this node's own trunks (so that no call leaves only to come back), then rules,
then the plan's order. What costs money is a trunk: it is asked only for numbers of listed countries that are not
premium, unless a rule says so for just these numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2psip.naming.countries import COUNTRIES, EMERGENCY_EVERYWHERE, PREFIX_WITHIN, Country
from p2psip.naming.dial_rules import Rule, fill
from p2psip.naming.numbers import code_of, dialled_text, is_e164, owner_of
from p2psip.naming.routing import STAGES, StageName

RULES_MAX = 256
TRUNKS_MAX = 16
ROOTS_MAX = 8
LOCAL_DIGITS_MIN = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to try. `what` is a name or number of the overlay, a tree of ENUM, a URI, a trunk, or (`via`) a member's address.

    `user` is the user part that a trunk is given. `is_own` is a URI of the settings, and no stranger's.
    """

    stage: StageName
    what: str
    reason: str
    user: str = ""
    is_via: bool = False
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not made (or not made any further), and the SIP status that says so."""

    words: str
    status: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with one dialled text. `refused` holds after all choices, if none of them has answered.

    `number` is its E.164 form, None where it has none. `notes` say how it was read.
    """

    dialled: str
    number: str | None
    choices: tuple[Choice, ...]
    refused: Refusal | None = None
    notes: tuple[str, ...] = ()
    is_emergency: bool = False


@dataclass(frozen=True, slots=True)
class DialPlan:
    """The settings of a plan. Without `is_configured`, only this node and the overlay are asked.

    `allowed` are ISO codes, prefixes of E.164 numbers with their plus sign, or "*"; `domains` are names, or patterns "*.name" and
    "*". `own_numbers` are E.164 numbers that a trunk brings here, and who has them.
    """

    overlay: str
    is_configured: bool = False
    country: Country | None = None
    order: tuple[StageName, ...] = STAGES
    enum_roots: tuple[str, ...] = ()
    trunks: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    emergency_trunk: str | None = None
    emergency_numbers: frozenset[str] = frozenset()
    area_code: str = ""
    outside_prefix: str = ""
    own_numbers: Mapping[str, str] = field(default_factory=dict)

    def plan(self, dialled: str, caller: str) -> Plan:
        """What to do with a name or number that `caller` (`user@host`) dialled."""
        text = dialled_text(dialled)
        if text is None:
            return Plan(dialled, None, self._inside((dialled,), self.order))
        is_outside = bool(self.outside_prefix) and text.startswith(self.outside_prefix) and text != self.outside_prefix
        bare = text.removeprefix(self.outside_prefix) if is_outside else text
        emergency = self.emergency_of(text) or self.emergency_of(bare)
        if emergency is not None:
            return self._emergency(emergency)
        if not self.is_configured:
            return self._unconfigured(text)
        number = self.number_of(bare)
        notes = [f"{dialled} is {number} ({owner_of(number)})" if number else f"{dialled} has no E.164 form"]
        if number in self.own_numbers:
            return self._own(bare, number, notes)
        return self._number(bare, number, caller, is_outside, notes)

    def plan_further(self, number: str, caller: str) -> Plan:
        """What to do with a number that ENUM gave for another one: no person here is asked for, but every guard holds."""
        emergency = self.emergency_of(number)
        if emergency is not None or not is_e164(number):
            return Plan(number, None, (), Refusal(f"ENUM leads to {number}, which is no ordinary number", 403))
        if number in self.own_numbers:
            return self._own(number, number, [])
        return self._number(number, number, caller, True, [])

    def plan_domain(self, uri: str, host: str, stage_note: str = "") -> Plan:
        """What to do with a SIP URI of another domain."""
        host = host.lower().rstrip(".")
        if "domain" not in self.order or not any(_is_within(host, pattern) for pattern in self.domains):
            words = f"only people of {self.overlay} can be reached from here, not those of {host}: [dial_plan] domains"
            return Plan(uri, None, (), Refusal(f"{words} does not name it", 404))
        return Plan(
            uri, None, (Choice("domain", uri, stage_note or f"{host} is one of the domains that may be called"),)
        )

    def number_of(self, text: str) -> str | None:
        """The E.164 form of dialled digits by the habits of the country; None when they have none."""
        number = self._full(text)
        return number if number is not None and is_e164(number) and code_of(number) is not None else None

    def emergency_of(self, text: str) -> str | None:
        """The emergency number that was dialled, in whatever form; None for all others."""
        country = self.country
        known = self.emergency_numbers | (frozenset(country.emergency) if country else EMERGENCY_EVERYWHERE)
        if self.is_configured or country:
            known |= EMERGENCY_EVERYWHERE
        if text in known:
            return text
        if country is None:
            return None
        fronts = [f"+{country.code}", *(prefix + country.code for prefix in country.international_prefixes)]
        cut = [text.removeprefix(front) for front in fronts if text.startswith(front)]
        return next((rest for rest in cut if rest in known), None)

    def _full(self, text: str) -> str | None:
        if text.startswith("+"):
            return text
        country = self.country
        if country is None or not text.isdigit():
            return None
        for prefix in country.international_prefixes:
            if text.startswith(prefix):
                return "+" + text.removeprefix(prefix)
        low, high = country.bare_digits
        national = country.national_prefix
        if national and text.startswith(national):
            return f"+{country.code}{text.removeprefix(national)}"
        if low <= len(text) <= high:
            return f"+{country.code}{text}"
        if self.area_code and len(text) >= LOCAL_DIGITS_MIN:
            return f"+{country.code}{self.area_code}{text}"
        return None

    def _emergency(self, dialled: str) -> Plan:
        """Nobody in the overlay can take an emergency call: it goes to the trunk named for it, or fails at once."""
        number = self._emergency_here(dialled)
        meant = "" if number == dialled else f": here that is {number}"
        notes = (f"{dialled} is an emergency number{meant}",)
        if self.emergency_trunk is not None:
            reason = "the trunk named for emergencies"
            choice = Choice("trunk", self.emergency_trunk, reason, user=number)
            words = f"{number} could not be reached: the trunk named for emergencies failed. Use another telephone"
            return Plan(number, None, (choice,), Refusal(words, 503), notes, is_emergency=True)
        words = f"{number} cannot be called from here: no trunk is named for emergencies. Use another telephone"
        choices = () if self.is_configured else self._inside((number,), STAGES)
        return Plan(number, None, choices, Refusal(words, 503), notes, is_emergency=True)

    def _emergency_here(self, number: str) -> str:
        """What a provider of the country knows: who calls 911 in Germany means 112."""
        known = self.country.emergency if self.country is not None else (number,)
        if number in known or number in self.emergency_numbers:
            return number
        return "112" if "112" in known else known[0]

    def _unconfigured(self, text: str) -> Plan:
        return Plan(text, None, self._inside((text,), STAGES), None, ("there is no dial plan: the overlay only",))

    def _own(self, text: str, number: str | None, notes: list[str]) -> Plan:
        address = self.own_numbers[number or ""]
        reason = f"{number} is a number of this node's own trunk: the call need not leave"
        return Plan(
            text, number, (Choice("local", address, reason), Choice("overlay", address, reason)), None, tuple(notes)
        )

    def _number(self, text: str, number: str | None, caller: str, is_outside: bool, notes: list[str]) -> Plan:
        rule, rest = self._rule(text, number, caller)
        if rule is not None:
            notes.append(f"rule {rule.name} ({rule.pattern.text}) matches")
            if rule.deny is not None:
                return Plan(text, number, (), Refusal(f"rule {rule.name}: {rule.deny}", 403), tuple(notes))
            if rule.target is not None:
                uri = fill(rule.target, dialled=text, number=number, rest=rest)
                return Plan(
                    text, number, (Choice("domain", uri, f"rule {rule.name}", is_own=True),), None, tuple(notes)
                )
            if rule.number is not None:
                number = fill(rule.number, dialled=text, number=number, rest=rest)
                notes.append(f"which means {number}")
                if not is_e164(number) or code_of(number) is None or self.emergency_of(number):
                    words = f"rule {rule.name} makes {number} of it, which is no E.164 number"
                    return Plan(text, None, (), Refusal(words, 404), tuple(notes))
        stages = self.order if rule is None or rule.stages is None else rule.stages
        choices = [] if is_outside else list(self._inside(_spellings(text, number), stages))
        refused: Refusal | None = None
        if "enum" in stages and number is not None:
            choices += [Choice("enum", root, "a tree of the dial plan") for root in self.enum_roots]
        if "trunk" in stages and (number is not None or rule is not None):  # else it is an extension, or nobody's
            trunks = self._trunks(rule, text, number, rest)
            refused = self._guard(rule, text, number) if trunks else None
            if not trunks:
                notes.append("no trunk is named for it: [dial_plan] trunks")
            choices += trunks if refused is None else []
        choices.sort(key=lambda choice: stages.index(choice.stage))
        return Plan(text, number, tuple(choices), refused, tuple(notes))

    def _rule(self, text: str, number: str | None, caller: str) -> tuple[Rule | None, str]:
        for rule in self.rules:
            rest = rule.pattern.rest(text, number) if rule.is_for(caller) else None
            if rest is not None:
                return rule, rest
        return None, ""

    def _inside(self, users: tuple[str, ...], stages: tuple[StageName, ...]) -> tuple[Choice, ...]:
        reasons = {"local": "a phone of this node", "overlay": "somebody of the overlay"}
        return tuple(
            [
                Choice(stage, f"{user}@{self.overlay}", reasons[stage])
                for stage in stages
                if stage in reasons
                for user in users
            ]
        )

    def _trunks(self, rule: Rule | None, text: str, number: str | None, rest: str) -> list[Choice]:
        template = rule.dial if rule is not None and rule.dial is not None else "{number}"
        user = fill(template, dialled=text, number=number, rest=rest)
        reason = "the plan's trunk" if rule is None else f"rule {rule.name}"
        if rule is not None and rule.via is not None:
            return [Choice("trunk", rule.via, reason, user=user, is_via=True)]
        names = self.trunks if rule is None or rule.trunks is None else rule.trunks
        return [Choice("trunk", name, reason, user=user) for name in names]

    def _guard(self, rule: Rule | None, text: str, number: str | None) -> Refusal | None:
        """Why a trunk must not be asked: money."""
        is_premium_open = rule is not None and rule.premium
        if number is None:
            return None if is_premium_open else self._guard_unread(text)
        kind = self.premium_of(number)
        if kind is not None and not is_premium_open:
            words = f"{number} is a premium number ({kind}): only a rule with premium = true for it allows that"
            return Refusal(words, 403)
        doubled = _doubled_prefix(number)
        if doubled:
            words = f"{number} has the national prefix {doubled} behind the country code, where no number has it"
            return Refusal(f"{words}: leave it out", 404)
        if is_premium_open:
            return None
        if self._is_allowed(number) or (rule is not None and self._names_country(rule, number)):
            return None
        owner = owner_of(number)
        return Refusal(f"{number} is in {owner}, which [dial_plan] countries does not list and no rule names", 403)

    def _guard_unread(self, text: str) -> Refusal | None:
        """Digits without E.164 form go to a trunk by a rule, and not even so if they look like a number that costs."""
        country = self.country
        costly = () if country is None else (*country.international_prefixes, country.national_prefix or "+", "+")
        if not text.startswith(costly or ("+", "0")):
            return None
        words = f"{text} looks like a number of elsewhere and is no full one: dial the country code after +"
        return Refusal(words, 404)

    def premium_of(self, number: str) -> str | None:
        """Why an E.164 number is premium, by the prefixes of its country; None when it is not known to be."""
        country = COUNTRIES.get(owner_of(number) or "")
        if country is None:
            return None
        national = number.removeprefix("+" + country.code)
        bare = national.removeprefix(country.national_prefix)  # some providers take +49 0900 for 0900
        prefix = country.premium_prefix(national) or country.premium_prefix(bare)
        if prefix is not None:
            return f"{country.iso} {country.national_prefix}{prefix}"
        return f"{country.iso} exchange 976" if country.code == "1" and "976" in (national[3:6], bare[3:6]) else None

    def _is_allowed(self, number: str) -> bool:
        owner = owner_of(number)
        if "*" in self.allowed or owner in self.allowed:
            return True
        return any(entry.startswith("+") and number.startswith(entry) for entry in self.allowed)

    def _names_country(self, rule: Rule, number: str) -> bool:
        """Whether the fixed part of a rule's pattern holds all of the country code: "+." opens nothing."""
        code = code_of(number) or number
        fixed = rule.pattern.fixed
        fronts = ("+", *(self.country.international_prefixes if self.country else ()))
        national = self.country.national_prefix if self.country and self.country.iso == owner_of(number) else ""
        return any(fixed.startswith(front + code) for front in fronts) or bool(national and fixed.startswith(national))


def _doubled_prefix(number: str) -> str:
    """The national prefix that stands in an E.164 number where it can be no part of it; "" when there is none."""
    country = COUNTRIES.get(owner_of(number) or "")
    if country is None or not country.national_prefix or country.iso in PREFIX_WITHIN:
        return ""
    return country.national_prefix if number.startswith(f"+{country.code}{country.national_prefix}") else ""


def _spellings(text: str, number: str | None) -> tuple[str, ...]:
    """A number as it was dialled, and in full: people of the overlay may be known under either."""
    return (text,) if number is None or number == text else (text, number)


def _is_within(host: str, pattern: str) -> bool:
    pattern = pattern.lower()
    return pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))
