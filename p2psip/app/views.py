"""What the answers of the commands look like to a person."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from p2psip.app.doctor import DoctorFacts, Finding, can_be_called, findings
from p2psip.app.phones import NewPhone
from p2psip.app.show import Printer, literal
from p2psip.app.state import Phone
from p2psip.app.trunk_views import trunk_rows
from p2psip.base.core import address_text

_MARKS = {
    "good": "[green] ok [/]",
    "note": "[cyan]note[/]",
    "warning": "[yellow]warn[/]",
    "problem": "[bold red]FAIL[/]",
}


def show_new_phone(printer: Printer, new: NewPhone, ready: Mapping[str, Any]) -> None:
    """What to type into a phone, as text and as a QR code; `ready` tells the doors of the node."""
    phone, (host, port) = new.phone, ready["sip"]
    domain = phone.address.partition("@")[2]
    authority = address_text((host, port))
    uri = f"sip:{phone.name}:{new.password}@{authority};domain={domain}"
    facts = {
        "name": phone.name,
        "address": phone.address,
        "domain": domain,
        "password": new.password,
        "server": authority,
        "host": host,
        "port": port,
        "transport": "UDP or TCP",
        "algorithm": phone.algorithm,
        "uri": uri,
    }
    titles = {
        "User name": phone.name,
        "Password": f"{new.password}   (shown only now)",
        "Domain / realm": domain,
        "Proxy / server": authority,
        "Transport": "UDP or TCP",
    }
    for door in ready["doors"]:
        where = address_text((door["host"], door["port"]))
        if door["transport"] == "tls":
            titles.setdefault("Or with TLS", f"{where}   (it must trust `p2psip phone ca`)")
        elif door["transport"] in ("ws", "wss"):
            titles.setdefault(f"Or in a browser ({door['transport']})", f"{door['transport']}://{where}/")
    titles["You are"] = f"sip:{phone.address}"
    printer.answer(facts, lambda: printer.facts("Type this into the phone:", titles))
    printer.qr(uri)


def show_phones(printer: Printer, phones: Sequence[Phone]) -> None:
    """All accounts of phones; no secrets."""
    facts = [{"name": p.name, "address": p.address, "algorithm": p.algorithm, "added": p.added} for p in phones]
    rows = [(p.name, p.address, p.algorithm) for p in phones]
    printer.answer(facts, lambda: printer.rows("Phones", ("user name", "rings for", "digest"), rows))


def show_phone_authority(printer: Printer, facts: Mapping[str, Any]) -> None:
    """What a phone must be given to trust, and how a person checks that it is the right one."""

    def for_a_person() -> None:
        printer.text("Give this certificate to the phone, as one that it trusts:")
        printer.text(literal(facts["file"]))
        printer.text(f"SHA-256 {facts['sha256']}")

    printer.answer(facts, for_a_person)


def show_status(printer: Printer, status: Mapping[str, Any]) -> None:
    """The running node at a glance."""

    def for_a_person() -> None:
        printer.facts("Node", status["node"])
        lists = {name: " ".join(map(str, fact)) for name, fact in status["overlay"].items() if isinstance(fact, list)}
        printer.facts("Overlay", {**status["overlay"], **lists})
        _show_connections(printer, status)
        if status["trunks"]:
            trunk_rows(printer, status["trunks"])
        phones = [(p["address"], p["contact"], p["flow"], f"{p['expires_seconds']:.0f} s") for p in status["phones"]]
        printer.rows("Registered phones", ("person", "contact", "over", "expires in"), phones)
        calls = [(_caller(c), c["callee"], c["state"], f"{c['seconds']:.0f} s") for c in status["calls"]]
        printer.rows("Calls", ("from", "to", "state", "for"), calls)
        _show_refused(printer, status["refused"]["recent"])

    printer.answer(status, for_a_person)


def _show_refused(printer: Printer, incidents: Sequence[Mapping[str, Any]]) -> None:
    """Guessers, scanners and refused fraud; nothing when there were none."""
    rows = [
        (i["kind"], i["who"], i["count"], time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(i["last"])), i["words"])
        for i in incidents
    ]
    if rows:
        printer.rows("What was refused", ("kind", "who", "times", "last", "why"), rows)


def _show_connections(printer: Printer, status: Mapping[str, Any]) -> None:
    """Whom a client is called through, its relays, and what a volunteer does for others; what there is."""
    flows = [(f["name"], f["address"], f["transport"], _ms(f["milliseconds"])) for f in status["rendezvous"]]
    if flows:
        printer.rows("Called through these super-nodes", ("super-node", "address", "over", "round trip"), flows)
    relays = [
        (r["name"], r["server"], r["transport"], _ms(r["rtt_ms"]), r["relayed"] or r["reason"] or r["state"])
        for r in status["relays"]
    ]
    if relays:
        titles = ("super-node", "relay", "over", "round trip", "our address there")
        printer.rows("Relays ready for calls", titles, relays)
    if status["volunteer"]:
        printer.facts("What it does for others", _for_others(status["volunteer"]))


def _for_others(volunteer: Mapping[str, Any]) -> dict[str, Any]:
    """A super-node's figures in words."""
    streams = [f"{name} {volunteer[name]}" for name in ("tcp", "tls") if volunteer[name]]
    facts = {
        "clients attached": volunteer["clients"],
        "takes more": "no, it drains" if volunteer["draining"] else "yes",
        "streams": ", ".join(streams) or "none",
    }
    if volunteer.get("coturn"):
        return {**facts, "relays through the coturn at": volunteer["coturn"]}
    megabytes = volunteer["bytes"] / 1e6
    return {
        **facts,
        "relays in use": volunteer["allocations"],
        "relayed since the start": f"{volunteer['packets']} packets, {megabytes:.1f} MB",
        "relayed this month": f"{volunteer['month_bytes'] / 1e9:.2f} GB",
    }


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def show_lookup(printer: Printer, found: Mapping[str, Any]) -> None:
    """Where a person can be reached, and what the lookup cost."""

    def for_a_person() -> None:
        rows = [
            (r["node_id"], " ".join(r["addresses"]) or r["redirect"], f"{r['expires_seconds']:.0f} s")
            for r in found["registrations"]
        ]
        if rows:
            printer.rows(literal(found["address"]), ("device (Node-ID)", "reached at", "valid for"), rows)
        elif found["name_exists"]:
            printer.text(f"{literal(found['address'])} exists, but no phone is registered now")
        else:
            printer.text(f"nobody in this overlay is called {literal(found['address'])}")
        printer.text(f"{found['hops']} hop(s), {found['messages']} message(s), {found['milliseconds']:.1f} ms")

    printer.answer(found, for_a_person)


def show_outcome(printer: Printer, report: Mapping[str, Any]) -> None:
    """The final status of a request in the words of whoever gave it."""
    why = f": {literal(report['why'])}" if report.get("why") else ""
    printer.text(f"{report['status']} {literal(report['reason'])}{why}")


def show_call(printer: Printer, report: Mapping[str, Any]) -> None:
    """How a call went."""

    def for_a_person() -> None:
        show_outcome(printer, report)
        for name in (
            "post_dial_delay_ms",
            "seconds",
            "heard_seconds",
            "ended_by",
            "recording",
        ):
            if report.get(name):
                printer.text(f"  {name.replace('_', ' ')}: {literal(report[name])}")

    printer.answer(report, for_a_person)


def show_ladder(printer: Printer, ladder: Sequence[Mapping[str, Any]]) -> None:
    """The messages of a call in order of time, each with its two ends."""
    start = ladder[0]["time"] if ladder else 0.0
    rows = [
        (f"{1000 * (step['time'] - start):8.1f}", step["source"], step["target"], step["summary"]) for step in ladder
    ]
    printer.rows("Ladder", ("ms", "from", "to", "message"), rows)


def show_calls(printer: Printer, calls: Sequence[Mapping[str, Any]]) -> None:
    """The calls of the last time, oldest first, each in a line or two."""

    def for_a_person() -> None:
        for each in calls:
            began = time.strftime("%H:%M:%S", time.localtime(each["started"]))
            state = each["state"] if each["status"] is None else f"{each['state']} ({each['status']})"
            why = f": {each['cause']}" if each["cause"] else ""
            line = f"{began} {_caller(each)} to {each['callee']}: {state}, {each['seconds']:.0f} s{why}"
            printer.text(f"[bold]{each['number']:>4}[/] {literal(line)}")
            if each["audio"]:
                printer.text(f"     {literal(each['audio'])}")
        if not calls:
            printer.text("no calls yet")

    printer.answer(calls, for_a_person)


def show_call_record(printer: Printer, record: Mapping[str, Any]) -> None:
    """One call with all that is known: how it went, its messages, its media."""

    def for_a_person() -> None:
        names = ("caller", "callee", "state", "status", "cause", "post_dial_delay_ms", "first_audio_ms", "lookup_ms")
        facts = {name.replace("_", " "): _short(record[name]) for name in names if record[name] not in (None, "")}
        facts["caller"] = _caller(record)
        printer.facts(f"Call {record['number']}", {**facts, "seconds": _short(record["seconds"])})
        show_ladder(printer, record["ladder"])
        show_media(printer, record["media"])

    printer.answer(record, for_a_person)


def _caller(record: Mapping[str, Any]) -> str:
    """Who called; of strangers what they claim to be."""
    return str(record["caller"]) + ("" if record["verified"] else " (not verified)")


def show_media(printer: Printer, media: Mapping[str, Any]) -> None:
    """Where audio was expected and where it really came from, how much of it, and the verdict."""
    if not media:
        printer.text("no media: the call was never connected")
        return
    for end in media["ends"]:
        path = end["path"]
        if end["kind"] in ("node", "web phone"):
            places = _way(path)
        elif end["kind"] == "service":
            places = "in this node"
        else:
            expected, actual = path.get("announced") or "-", path.get("heard_from") or "nowhere"
            places = f"expected from {expected}, came from {actual}, sent to {path.get('sent_to') or '-'}"
        counts = ", ".join(f"{name} {end[name]}" for name in ("received", "sent", "refused", "missing"))
        protection = f"; protection: {path['protection']}" if path.get("protection") else ""
        printer.text(literal(f"{end['name']}: {places}; packets: {counts}{protection}"))
    for each in media["directions"]:
        wait = each["first_audio_ms"]
        first = "" if wait is None else f", first packet {wait:.0f} ms after the answer"
        why = f": {each['cause']}" if each["cause"] else ""
        printer.text(literal(f"{each['source']} to {each['sink']}: {each['state']}{first}{why}"))
    printer.text(f"[bold]{literal(media['verdict'])}[/]")


def _way(path: Mapping[str, Any]) -> str:
    via = f" via {' and '.join(path['via'])}" if path.get("via") else ""
    kinds = f" ({path['local']} to {path['remote']})" if path.get("local") else ""
    rtt = f", {path['rtt_ms']:.0f} ms" if path.get("rtt_ms") is not None else ""
    return f"{path.get('way') or 'no way found'}{via} to {path.get('remote_address') or '-'}{kinds}{rtt}"


def show_examination(printer: Printer, facts: DoctorFacts) -> None:
    """What the doctor found, each with what to do about it."""
    found = findings(facts)
    answer = {
        "can_be_called": can_be_called(facts),
        "findings": [asdict(each) for each in found],
        "facts": asdict(facts),
    }

    def for_a_person() -> None:
        for each in found:
            printer.text(f"{_MARKS[each.severity]} {literal(each.sentence)}")
            if each.advice:
                printer.text(f"      [bold]{literal(each.advice)}[/]")

    printer.answer(answer, for_a_person)


def show_no_node(printer: Printer, words: str) -> None:
    """The doctor has no patient."""
    finding = Finding("node", "problem", "No node runs here, so that nobody can call.", words)
    answer = {"can_be_called": False, "findings": [asdict(finding)], "facts": None}
    printer.answer(
        answer, lambda: printer.text(f"{_MARKS['problem']} {finding.sentence}\n      [bold]{literal(words)}[/]")
    )


def show_call_media(printer: Printer, record: Mapping[str, Any]) -> None:
    """The media of one call: expected and actual addresses, and the cause when somebody is not heard."""
    facts = {name: record[name] for name in ("number", "caller", "callee", "state", "cause", "media")}

    def for_a_person() -> None:
        printer.text(f"Call {record['number']} from {literal(record['caller'])} to {literal(record['callee'])}")
        show_media(printer, record["media"])

    printer.answer(facts, for_a_person)


def _short(value: Any) -> Any:
    return f"{value:.1f}" if isinstance(value, float) else value
