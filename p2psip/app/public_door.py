"""Opens the public door (`[domain]`): sockets of their own, apart from those where phones register."""

from typing import Any

from p2psip.app.renewed_certificate import RenewedCertificate
from p2psip.app.settings import SettingsError
from p2psip.app.settings_domain import DomainSettings
from p2psip.base.core import address_text
from p2psip.calls.ports import ClockPort
from p2psip.calls.strangers import Strangers
from p2psip.net.tls import why_unusable
from p2psip.sip.connections import Door
from p2psip.sip.service import SipService


class PublicDoor:
    """The sockets of one node's public door; `strangers` None: it stays closed."""

    def __init__(
        self, sip: SipService, settings: DomainSettings, strangers: Strangers | None, clock: ClockPort
    ) -> None:
        self._sip = sip
        self._settings = settings
        self._strangers = strangers
        self._clock = clock
        self.opened: list[tuple[str, str, int]] = []

    async def open(self) -> None:
        """Listen; SettingsError says what to change."""
        if self._strangers is None:
            return
        self._sip.gate, self._sip.on_malformed = self._strangers.hears, self._strangers.note_malformed
        port, tls_port = self._settings.port, self._settings.tls_port
        certificate = self._certificate() if tls_port else None
        for host in self._settings.hosts:
            try:
                port = (await self._sip.listen_udp(host, port))[1]
                self._strangers.open(port)
                self._sip.distrust(port)
                await self._sip.listen_door(host, port, Door("tcp", accepts=self._strangers.accepts))
                if certificate is not None:
                    self._strangers.open(tls_port)
                    door = Door("tls", certificate.context, self._strangers.accepts)
                    await self._sip.listen_door(host, tls_port, door)
            except OSError as error:
                where = address_text((host, port))
                raise SettingsError(
                    f"[domain] the public door cannot open at {where}: {error.strerror or error}; "
                    "it needs ports of its own, and addresses of this machine"
                ) from error
            self.opened += [("udp", host, port), ("tcp", host, port)]
            self.opened += [("tls", host, tls_port)] if tls_port else []

    def _certificate(self) -> RenewedCertificate:
        settings = self._settings
        assert settings.certificate is not None
        assert settings.key is not None
        try:
            return RenewedCertificate(settings.certificate, settings.key, settings.name, self._clock)
        except OSError as error:  # ssl.SSLError is one
            files = f"certificate {settings.certificate} and key {settings.key}"
            why = why_unusable(settings.certificate, settings.key)
            raise SettingsError(f"[domain] {files} cannot be used: {why}") from error

    def as_json(self) -> dict[str, Any] | None:
        """`name`, `doors` (as of phones), `calls` under way and `dropped` messages; None when closed."""
        if self._strangers is None:
            return None
        doors = [{"transport": transport, "host": host, "port": port} for transport, host, port in self.opened]
        admission = self._strangers.admission
        return {"name": self._settings.name, "doors": doors, "calls": admission.calls, "dropped": admission.dropped}
