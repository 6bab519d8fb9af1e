"""`p2psip explain`: the path that a call would take, step by step, with the reason of each; nothing is called.

Settings and DNS are asked here and now. Who is registered is asked of the running node, if there is one.
"""

from collections.abc import Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from p2psip.app.control import ControlError, NoNodeError, ask
from p2psip.app.resolving import Resolver, make_resolver
from p2psip.app.settings import Settings
from p2psip.app.show import Printer, literal
from p2psip.app.state import State
from p2psip.app.trunking import own_numbers, trunk_names
from p2psip.base.chance import Chance
from p2psip.base.core import address_text
from p2psip.base.errors import RemoteError
from p2psip.calls.addresses import Addresses
from p2psip.naming.numbers import owner_of
from p2psip.naming.routing import Route, Step
from p2psip.naming.typed import as_typed
from p2psip.net.clock import Clock
from p2psip.sip.uri import SipUri

STEPS_MAX = 64
NO_NODE = "not asked: no node is running"


class People(Protocol):
    """Who is registered now."""

    async def is_running(self) -> bool:
        """Whether there is a node that can say."""

    async def local(self, address: str) -> list[str]:
        """The phones of this node for `address`."""

    async def overlay(self, address: str) -> list[str]:
        """The devices of `address` in the overlay."""

    async def trunk(self, name: str) -> tuple[bool, str]:
        """Whether a trunk can be used now, and its state in words."""


@dataclass(frozen=True, slots=True)
class NodePeople:
    """Asks the running node of a folder."""

    home: Path

    async def is_running(self) -> bool:
        """See People."""
        try:
            await ask(self.home, "ready")
        except NoNodeError:
            return False
        return True

    async def local(self, address: str) -> list[str]:
        """See People."""
        status = await ask(self.home, "status")
        return [str(phone["contact"]) for phone in status["phones"] if phone["address"] == address]

    async def overlay(self, address: str) -> list[str]:
        """See People."""
        found = await ask(self.home, "lookup", target=address)
        return [f"device {device['node_id'][:8]}" for device in found["registrations"]]

    async def trunk(self, name: str) -> tuple[bool, str]:
        """See People."""
        for trunk in await ask(self.home, "trunks"):
            if trunk["name"] == name:
                return bool(trunk["usable"]), f"{trunk['state']}, {trunk['health']}"
        return False, "the running node does not know this trunk: start it again"


async def explain(resolver: Resolver, people: People, target: str, caller: str) -> dict[str, Any]:
    """All steps for `target` as JSON values. `taken` is the number of the step that would be taken first, None for none."""
    steps: list[dict[str, Any]] = []
    taken: int | None = None
    is_running = await people.is_running()
    async with aclosing(resolver.routes(target, caller)) as way:
        async for step in way:
            found = await _ask_people(step, people) if is_running else None
            works = bool(step.found) if found is None else bool(found)
            steps.append(_step(step, found, is_asked=found is not None or step.stage not in ("local", "overlay")))
            name = step.found[0].trunk if step.found else None
            if is_running and name is not None:
                is_usable, state = await people.trunk(name)
                works = works and (
                    is_usable or step.found[0].is_emergency
                )  # help is called for whatever the health says
                steps[-1]["reason"] += f"; {state}"
            if taken is None and works and steps[-1]["asked"]:
                taken = len(steps)
            if len(steps) >= STEPS_MAX:
                break
    plan = _plan(resolver, target, caller)
    return {"target": target, "caller": caller, **plan, "node_running": is_running, "taken": taken, "steps": steps}


async def explain_here(home: Path, settings: Settings, target: str, caller: str | None) -> dict[str, Any]:
    """`explain` with the settings and the membership of `home`; a machine that has joined no overlay explains the rest."""
    with closing(State(home)) as state:
        membership = state.membership()
    overlay = "overlay.invalid" if membership is None else membership.overlay
    own = () if membership is None else membership.addresses
    addresses = Addresses(overlay, own)
    resolver = make_resolver(
        settings,
        addresses,
        clock=Clock(),
        chance=Chance.system(),
        own_numbers=own_numbers(settings, overlay),
        trunks=trunk_names(settings),
    )
    who = caller or (own[0] if own else f"somebody@{overlay}")
    return await explain(resolver, NodePeople(home), as_uri(target, overlay), who)


def as_uri(target: str, overlay: str) -> str:
    """What a person types, as a URI: a name or number is one of the overlay. RemoteError as by `as_typed`."""
    text = as_typed(target)
    if text.lower().startswith(("sip:", "sips:", "tel:", "urn:")):
        return text if text[:4].lower() in ("tel:", "urn:") or "@" in text else f"{text}@{overlay}"
    user, at, host = text.rpartition("@")
    return f"sip:{text}" if at and user and host else str(SipUri.of_address(f"{text}@{overlay}"))


def show_explanation(printer: Printer, facts: Mapping[str, Any]) -> None:
    """The path for a person: one line a step, the arrow at the one that is taken, how it came about below."""
    printer.answer(facts, partial(_for_a_person, printer, facts))


def _for_a_person(printer: Printer, facts: Mapping[str, Any]) -> None:
    number = f", {facts['number']} ({facts['country']})" if facts["number"] else ""
    printer.text(f"[bold]{literal(facts['target'])}[/]{literal(number)}, called by {literal(facts['caller'])}")
    for count, step in enumerate(facts["steps"], 1):
        mark = "->" if count == facts["taken"] else "  "
        printer.text(f"{mark} {count}. [bold]{step['stage']}[/] {literal(step['what'])}: {literal(step['reason'])}")
        for line in step["trail"]:
            printer.text(f"        {literal(line)}")
        for hop in (hop for route in step["routes"] for hop in route["hops"]):
            shown = f", certificate of {hop['host']}" if hop["transport"] == "tls" else ""
            printer.text(f"        [bold]{hop['transport']} {literal(hop['address'])}[/]{literal(shown)}")
    if not facts["node_running"]:
        printer.text("No node is running here: this node's phones and the overlay were not asked (`p2psip up`).")
    if facts["taken"] is None:
        printer.text("No way leads there." if facts["node_running"] else "No way outside of the overlay leads there.")


async def _ask_people(step: Step, people: People) -> list[str] | None:
    """Who would ring, for steps that lead to people; None for all others, and when nobody can say any more."""
    if step.stage not in ("local", "overlay"):
        return None
    found: list[str] = []
    for route in step.found:
        address = SipUri.parse(route.uri).address
        try:
            found += await (people.local(address) if step.stage == "local" else people.overlay(address))
        except NoNodeError:
            return None
        except ControlError:
            continue  # the overlay cannot be asked: the node says so in its own words elsewhere
    return found


def _step(step: Step, found: list[str] | None, *, is_asked: bool) -> dict[str, Any]:
    reason = step.reason
    if not is_asked:
        reason = f"{reason}; {NO_NODE}"
    elif found is not None:
        reason = f"{reason}; " + (", ".join(found) if found else "nobody is registered under it")
    return {
        "stage": step.stage,
        "what": step.what,
        "reason": reason,
        "asked": is_asked,
        "status": step.status,
        "routes": [_route(route) for route in step.found],
        "trail": list(step.trail),
    }


def _route(route: Route) -> dict[str, Any]:
    hops = [{"transport": hop.transport, "address": address_text(hop.address), "host": hop.host} for hop in route.hops]
    return {"uri": route.uri, "trunk": route.trunk, "via": route.via, "hops": hops}


def _plan(resolver: Resolver, target: str, caller: str) -> dict[str, Any]:
    try:
        number = resolver.plan_for(target, caller)[0].number
    except RemoteError:
        number = None
    return {"number": number, "country": None if number is None else owner_of(number)}
