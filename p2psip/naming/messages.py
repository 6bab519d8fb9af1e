"""DNS messages: a question as a query, and a response as an answer that tells failures apart. dnspython is the codec.

Names are validated by whoever answers us, not here: a validating resolver gives SERVFAIL for what is signed wrongly (RFC 4035
§5.5), often with an extended error (RFC 8914) that says so, and gives the data all the same if asked with CD. "Bogus"
rests on these two signs; "secure" on the AD bit, which is worth as much as the way to that resolver.
"""

from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from p2psip.base.errors import RemoteError
from p2psip.naming.questions import Answer, Naptr, Outcome, Question, Srv

PAYLOAD_OCTETS = 1_232  # no fragments on any path (RFC 9715 recommends no more than this)
RECORDS_MAX = 64
WORDS_CHARACTERS_MAX = 120

_BOGUS = frozenset({1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27})  # RFC 8914: all that is about DNSSEC
_REFUSED = frozenset({15, 16, 17, 18, 20})  # blocked, censored, filtered, prohibited, not authoritative
_LAME = frozenset({22, 23})  # no reachable authority, network error

Message = dns.message.Message


class MessageError(RemoteError):
    """Octets that are no DNS message that we can use."""


def query(question: Question, identifier: int, *, checking_disabled: bool = False, extended: bool = True) -> Message:
    """A recursive query; with EDNS (RFC 6891) unless `extended` is off, and AD set to be told of validation (RFC 6840 §5.7)."""
    flags = dns.flags.RD | dns.flags.AD | (dns.flags.CD if checking_disabled else 0)
    name = dns.name.from_text(question.name + ".")
    edns = 0 if extended else False
    return dns.message.make_query(
        name, question.kind, use_edns=edns, payload=PAYLOAD_OCTETS, flags=flags, id=identifier
    )


def read_message(data: bytes) -> Message:
    """The message in `data`; MessageError for everything else."""
    try:
        return dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError, KeyError, IndexError, OverflowError) as error:
        raise MessageError(f"no DNS message: {type(error).__name__}") from error


def is_without_edns(message: Message) -> bool:
    """Whether the server may not know EDNS, so that it is to be asked without (RFC 6891 §7)."""
    return message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP) and message.edns < 0


def is_server_failure(message: Message) -> bool:
    """Whether it is worth asking again with CD, to learn whether DNSSEC is the reason."""
    return message.rcode() == dns.rcode.SERVFAIL


def answer_of(question: Question, message: Message) -> Answer:
    """What `message` says to `question`; never raises for what a server may send."""
    try:
        return _answer(question, message)
    except (dns.exception.DNSException, RemoteError, ValueError) as error:
        return Answer("unreadable", words=f"the response cannot be read ({type(error).__name__})")


def bogus(answer: Answer) -> Answer:
    """`answer` was SERVFAIL, and with CD there was data: DNSSEC validation failed."""
    words = "its DNSSEC signatures do not hold: there is data, but the resolver will not vouch for it"
    return Answer("bogus", words=f"{words}; {answer.words}" if answer.words else words)


def _answer(question: Question, message: Message) -> Answer:
    code = message.rcode()
    said = _said(message)
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Answer(_outcome(code, message), words=", ".join(filter(None, [dns.rcode.to_text(code), said])))
    if not isinstance(message, dns.message.QueryMessage):
        return Answer("unreadable", words="the response is of another kind")
    chain = message.resolve_chaining()
    secure = bool(message.flags & dns.flags.AD)
    if chain.answer is None:
        return _negative(message, code, float(chain.minimum_ttl), secure, said)
    records = list(chain.answer)[:RECORDS_MAX]
    ttl = float(chain.minimum_ttl)
    match question.kind:
        case "NAPTR":
            return Answer("found", naptrs=tuple(map(_naptr, records)), ttl_seconds=ttl, secure=secure)
        case "SRV":
            return Answer("found", srvs=tuple(map(_srv, records)), ttl_seconds=ttl, secure=secure)
        case _:
            addresses = tuple([str(record.address) for record in records])
            return Answer("found", addresses=addresses, ttl_seconds=ttl, secure=secure)


def _negative(message: Message, code: int, ttl: float, secure: bool, said: str) -> Answer:
    """No such name, or no such data; or, from a server that answers for nobody, no answer at all (RFC 2308 §2)."""
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)
    answers_for_zone = bool(message.flags & dns.flags.AA)
    if not has_soa and not answers_for_zone and not message.flags & dns.flags.RA:
        words = "the server neither has this name nor asks others for it"
        return Answer("lame", words=words)
    outcome: Outcome = "no such name" if code == dns.rcode.NXDOMAIN else "no data"
    return Answer(outcome, ttl_seconds=ttl if has_soa else 0.0, secure=secure, words=said)


def _outcome(code: int, message: Message) -> Outcome:
    extended = {int(error.code) for error in message.extended_errors()}
    if extended & _BOGUS:
        return "bogus"
    if extended & _LAME:
        return "lame"
    if code in (dns.rcode.REFUSED, dns.rcode.NOTAUTH) or extended & _REFUSED:
        return "refused"
    return "failed"


def _said(message: Message) -> str:
    """The extended errors, in the server's words where it has some; they are a stranger's, so only what can be printed."""
    texts = [
        f"{dns.edns.EDECode.to_text(error.code)} {error.text or ''}".strip() for error in message.extended_errors()
    ]
    return "".join(letter for letter in "; ".join(texts) if letter.isprintable())[:WORDS_CHARACTERS_MAX]


def _naptr(record: Any) -> Naptr:
    flags, services, regexp = [value.decode("latin-1") for value in (record.flags, record.service, record.regexp)]
    return Naptr(record.order, record.preference, flags, services, regexp, _text(record.replacement))


def _srv(record: Any) -> Srv:
    return Srv(record.priority, record.weight, record.port, _text(record.target))


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""
