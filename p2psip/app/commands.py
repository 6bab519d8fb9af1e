"""What a running node answers to the command line over its control socket: facts as JSON values, no words."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from p2psip.app.examination import doctor_facts, relay_facts, supernode_facts
from p2psip.app.timekeeping import correction_in_words
from p2psip.base.core import address_text
from p2psip.base.errors import RemoteError
from p2psip.naming.typed import as_typed, number_of_tel
from p2psip.sip.uri import SipUri

if TYPE_CHECKING:
    from p2psip.app.node import Node


class NodeCommands:
    """The commands of one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def table(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
        """All commands by name."""
        return {
            "status": self._status,
            "ready": self._ready,
            "lookup": self._lookup,
            "presence": self._presence,
            "lend": self._lend,
            "calls": self._calls,
            "call": self._call,
            "trunks": self._trunks,
            "doctor": self._doctor,
        }

    async def _status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        node = self._node
        calls = node.calls.status()
        about = {
            "you": " ".join(f"sip:{address}" for address in node.membership.addresses),
            "phones register at": ", ".join(node.doors.in_brief()),
            "published": calls.pop("published"),
        }
        if node.clock.correction:
            about["clock"] = correction_in_words(node.clock.correction)
        domain = node.public_door.as_json()
        if domain is not None:
            where = ", ".join(f"{d['transport']} {address_text((d['host'], d['port']))}" for d in domain["doors"])
            about["called from outside"] = f"at {domain['name']}, {where}"
        rendezvous = supernode_facts(node.overlay.rendezvous(), node.links, node.connectivity.gateway)
        relaying = node.overlay.peer.crossing.relaying
        volunteer = None if node.supernode is None else node.supernode.status()
        return {
            "node": about,
            "overlay": node.overlay.status(),
            "rendezvous": [asdict(each) for each in rendezvous],
            "relays": relay_facts(node.media.relays(), node.links),
            "volunteer": volunteer and {"clients": 0 if relaying is None else len(relaying), **volunteer},
            "presence": node.presence.status(),
            "sip": node.sip.statistics(),
            "media": node.media.statistics(),
            "domain": domain,
            "trunks": node.trunking.status(),
            "port": {"received": node.port.counters.received, "unroutable": node.port.counters.unroutable},
            **calls,
        }

    async def _trunks(self, _arguments: dict[str, Any]) -> list[dict[str, Any]]:
        return self._node.trunking.status()

    async def _ready(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return self._node.ready()

    async def _lend(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        node = self._node
        account, password = node.accounts.lend(node.membership.addresses[0], node.chance)
        server = list(node.sip_address)
        return {"name": account.name, "address": account.address, "password": password, "server": server}

    async def _calls(self, _arguments: dict[str, Any]) -> list[dict[str, Any]]:
        recent: list[dict[str, Any]] = self._node.calls.status()["recent"]
        return recent

    async def _call(self, arguments: dict[str, Any]) -> dict[str, Any]:
        number = int(arguments["number"])
        found = self._node.calls.call_facts(number)
        if found is None:
            raise RemoteError(f"there is no call number {number}; `p2psip calls` lists those that are kept", status=404)
        return found

    async def _doctor(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return asdict(await doctor_facts(self._node))

    async def _presence(self, arguments: dict[str, Any]) -> dict[str, Any]:
        address = full_address(str(arguments["target"]), self._node.membership.overlay)
        seen = await self._node.presence.look(address)
        devices = [{"open": service.is_open, "note": service.note} for service in seen.services]
        about = {"activities": list(seen.activities), "notes": list(seen.notes), "devices": devices}
        return {"address": address, "open": seen.is_open, **about}

    async def _lookup(self, arguments: dict[str, Any]) -> dict[str, Any]:
        node = self._node
        address = full_address(str(arguments["target"]), node.membership.overlay)
        found = await node.overlay.find(address)
        unix = node.clock.unix()
        return {
            "address": address,
            "registrations": [
                {
                    "node_id": device.node_id.hex(),
                    "addresses": [address_text(address) for address in device.addresses],
                    "redirect": device.redirect,
                    "expires_seconds": device.expires - unix,
                }
                for device in found.registrations
            ],
            "name_exists": found.name_exists,
            "hops": found.hops,
            "messages": found.messages,
            "milliseconds": found.milliseconds,
        }


def full_address(target: str, overlay: str) -> str:
    """`alice`, `alice@home.example`, `sip:alice@home.example` or a number, as it is typed, as an address."""
    typed = as_typed(target)
    text = typed if typed.lower().startswith(("sip:", "sips:")) else f"sip:{number_of_tel(typed)}"
    uri = SipUri.parse(text if "@" in text else f"{text}@{overlay}")
    return uri.address
