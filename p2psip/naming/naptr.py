"""NAPTR records as rules: which apply in which order, what their services say, and rewriting (RFC 3402, RFC 3403, RFC 6116)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from p2psip.base.errors import RemoteError
from p2psip.naming.expressions import Expression
from p2psip.naming.questions import Naptr

RECORDS_MAX = 64
RULES_CACHED_MAX = 256
RESULT_CHARACTERS_MAX = 512
SERVICES_MAX = 16

_NO_DELIMITER = frozenset("0123456789\\iI")


class RuleError(RemoteError):
    """A rule that cannot be read, or that does not apply to what it is applied to."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """A regexp field (RFC 3402 §3.2): delimiter, expression, delimiter, replacement, delimiter, flags."""

    expression: Expression
    replacement: tuple[str | int, ...]

    def apply(self, text: str) -> str:
        """The replacement, with the groups that `text` matched; RuleError when it does not match or grows too long."""
        spans = self.expression.search(text)
        if spans is None:
            raise RuleError(f"the expression does not match {text}")
        parts = [part if isinstance(part, str) else _group(text, spans, part) for part in self.replacement]
        result = "".join(parts)
        if len(result) > RESULT_CHARACTERS_MAX:
            raise RuleError(f"a result of more than {RESULT_CHARACTERS_MAX} characters")
        return result


def sorted_naptrs(records: Iterable[Naptr]) -> list[Naptr]:
    """By order, then by preference; what is equal stays as it came (RFC 6116). RECORDS_MAX at most."""
    return sorted(records, key=lambda record: (record.order, record.preference))[:RECORDS_MAX]


def enumservices(services: str) -> tuple[str, ...]:
    """The enumservices of a services field, as `type` or `type:subtype` in lower case (RFC 6116).

    Nothing for what is no ENUM service; the form of RFC 2916 ("sip+E2U") is obsolete and means nothing here.
    """
    first, *others = services.lower().split("+")
    if first != "e2u" or len(others) > SERVICES_MAX:
        return ()
    return tuple([service for service in others if service])


@lru_cache(maxsize=RULES_CACHED_MAX)
def read_substitution(regexp: str) -> Substitution:
    """The rule in a regexp field; RuleError or ExpressionError when it cannot be read."""
    if len(regexp) < 3:
        raise RuleError("a regexp field that is too short")
    delimiter = regexp[0]
    if delimiter in _NO_DELIMITER:
        raise RuleError(f"a regexp field cannot begin with {delimiter!r}")
    fields = _split(regexp[1:], delimiter)
    if len(fields) != 3:
        raise RuleError(f"a regexp field has three delimiters ({delimiter!r}), not {len(fields)}")
    pattern, replacement, flags = fields
    if flags.lower() not in ("", "i"):
        raise RuleError(f"a regexp field with flags that do not exist ({flags[:8]!r})")
    expression = Expression(_without_escaped(pattern, delimiter), fold=flags != "")
    return Substitution(expression, _replacement(replacement, delimiter, expression.groups))


def _split(text: str, delimiter: str) -> list[str]:
    fields = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            fields[-1] += character + next(characters, "")
        elif character == delimiter:
            fields.append("")
        else:
            fields[-1] += character
    return fields


def _without_escaped(pattern: str, delimiter: str) -> str:
    """The delimiter is escaped for our sake only; where it is a sign of expressions too, it stays escaped."""
    return pattern if delimiter in ".^$*+?()[]{}|" else pattern.replace("\\" + delimiter, delimiter)


def _replacement(text: str, delimiter: str, groups: int) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    characters = iter(text)
    for character in characters:
        part: str | int = character
        if character == "\\":
            escaped = next(characters, "")
            if escaped in ("\\", delimiter) and escaped:
                part = escaped
            elif escaped.isascii() and escaped.isdigit() and escaped != "0":
                part = int(escaped)
                if part > groups:
                    raise RuleError(f"a replacement that names group {part} of {groups}")
            else:
                raise RuleError(f"a replacement with an escape that does not exist (\\{escaped})")
        parts.append(part)
    return tuple(parts)


def _group(text: str, spans: tuple[int, ...], number: int) -> str:
    start, end = spans[2 * number], spans[2 * number + 1]
    return "" if start < 0 or end < 0 else text[start:end]
