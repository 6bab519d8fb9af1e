"""Presence of a node, put together from its services."""

from p2psip.app.directory import OverlayDirectory
from p2psip.app.settings_presence import PresenceSettings
from p2psip.calls.server import CallServer
from p2psip.presence.ports import NoMailbox
from p2psip.presence.server import PresenceServer


def serve_presence(calls: CallServer, directory: OverlayDirectory, settings: PresenceSettings) -> PresenceServer:
    """Presence beside the calls of a node, which hand SUBSCRIBE and PUBLISH over. Nothing keeps messages here yet."""
    equipment = calls.equipment
    presence = PresenceServer(
        equipment=equipment,
        permissions=settings.permissions(equipment.settings.overlay),
        directory=directory,
        bindings=calls.bindings,
        mailbox=NoMailbox(),
        prove=calls.sender,
    )
    calls.serve_method("SUBSCRIBE", presence.subscribe)
    calls.serve_method("PUBLISH", presence.publish)
    return presence
