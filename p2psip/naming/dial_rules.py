"""Rules of a dial plan: patterns over what was dialled or over its E.164 form, and what to do then.

A pattern is written as telephone exchanges have it: digits, `+`, `*` and `#` stand for themselves, `X` for any digit, `Z` for
1 to 9, `N` for 2 to 9, `[1-35]` for one of these; at the end, `.` for one or more characters and `!` for any number of them.
"""

import re
from dataclasses import dataclass, field

from p2psip.base.errors import LocalError
from p2psip.naming.routing import StageName

PATTERN_CHARACTERS_MAX = 64
TEMPLATE_CHARACTERS_MAX = 256
FIELDS = ("dialled", "number", "digits", "rest")

_TOKEN = re.compile(r"[0-9+*#]|[XNZ]|\[[0-9](?:[0-9]|-[0-9])*\]|[.!]$")
_WILD = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*"}
_FIELD = re.compile(r"\{([a-z]*)\}")


class PatternError(LocalError):
    """A pattern or template of the settings that cannot be read."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`fixed` is the part before the first wildcard; a pattern that begins with + is held against E.164 numbers."""

    text: str
    fixed: str
    expression: re.Pattern[str] = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """The pattern in `text`; PatternError when it cannot be read."""
        if not text or len(text) > PATTERN_CHARACTERS_MAX:
            raise PatternError(f"a pattern has 1 to {PATTERN_CHARACTERS_MAX} characters")
        tokens: list[str] = []
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise PatternError(
                    f"{text!r} is no pattern from its character {place + 1} on: use digits, +, *, #, X, Z, N, [1-3], "
                    "and . or ! at the end"
                )
            tokens.append(token[0])
            place = token.end()
        is_plain = [token[0] in "0123456789+*#" for token in tokens]
        count = is_plain.index(False) if False in is_plain else len(tokens)
        parts = [_WILD.get(token) or (token if token[0] == "[" else re.escape(token)) for token in tokens]
        source = f"{''.join(parts[:count])}(?P<rest>{''.join(parts[count:])})"
        return cls(text, "".join(tokens[:count]), re.compile(source))

    def rest(self, dialled: str, number: str | None) -> str | None:
        """What the wildcards took; None when neither form matches."""
        text = number if self.text.startswith("+") else dialled
        found = None if text is None else self.expression.fullmatch(text)
        return None if found is None else found["rest"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with numbers that match. The first rule that matches and that the caller may use is the one.

    `stages` None: those of the plan. `trunks` None: those of the plan. `via` is an address of the overlay whose node has the trunk.
    `dial` is the user part that a trunk is given, `target` a SIP URI that is called instead; both are templates with the
    fields {dialled}, {number} (with its plus sign), {digits} (without) and {rest} (what the wildcards took). `number` is a
    template too: the E.164 number that is meant. `deny` are the words of a refusal. `callers` empty: everybody.
    """

    name: str
    pattern: Pattern
    stages: tuple[StageName, ...] | None = None
    trunks: tuple[str, ...] | None = None
    via: str | None = None
    dial: str | None = None
    number: str | None = None
    target: str | None = None
    deny: str | None = None
    premium: bool = False
    callers: frozenset[str] = frozenset()

    def is_for(self, caller: str) -> bool:
        """Whether `caller` (`user@overlay`) may use it."""
        return not self.callers or caller.lower() in self.callers


def check_template(text: str) -> str:
    """`text`, if its fields exist; PatternError otherwise."""
    wrong = [name for name in _FIELD.findall(text) if name not in FIELDS]
    if wrong or len(text) > TEMPLATE_CHARACTERS_MAX:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise PatternError(f"{text!r} cannot be filled in: there are the fields {known}")
    return text


def fill(template: str, *, dialled: str, number: str | None, rest: str) -> str:
    """The template with its fields; a number that has no E.164 form stands as it was dialled."""
    full = number or dialled
    values = {"dialled": dialled, "number": full, "digits": full.removeprefix("+"), "rest": rest}
    return _FIELD.sub(lambda found: values[found[1]], template)
