"""Somebody who lives elsewhere and is watched by our phones: all their devices together, found anew as the overlay tells.

    look ─▶ a subscription at each device that is registered ─▶ the states composed
     ▲                                                            │
     └── the overlay says that a registration has changed, ───────┘
         or a device was lost: later and later, LOOK_SECONDS_MAX at most

One subscription at each device serves all local watchers.
"""

from collections.abc import Callable

import trio

from p2psip.base.errors import RemoteError
from p2psip.calls.equipment import Equipment
from p2psip.calls.targets import DEVICES_MAX
from p2psip.presence.device import GONE, DeviceWatch
from p2psip.presence.packages import Package, State
from p2psip.presence.ports import WatchingDirectory

LOOK_SECONDS_MIN = 2.0
RETRY_SECONDS = 15.0
LOOK_SECONDS_MAX = 300.0
REFUSALS = (403, 603)


class Person:
    """The person `address`; `changed()` is called when their state may be another one."""

    def __init__(
        self,
        equipment: Equipment,
        directory: WatchingDirectory,
        package: Package,
        address: str,
        seconds: int,
        changed: Callable[[], None],
    ) -> None:
        self.package = package
        self.address = address
        self._equipment = equipment
        self._directory = directory
        self._seconds = seconds
        self._changed = changed
        self._devices: dict[str, DeviceWatch] = {}
        self._refused: set[str] = set()
        self._failures = 0
        self._is_looked_up = False
        self._due = 0.0
        self._woken = trio.Event()
        self.settled = trio.Event()
        """Set once it is known for the first time who is there."""

    @property
    def states(self) -> list[State]:
        """What the devices tell; none when nobody is there."""
        return [device.state for device in self._devices.values() if device.state is not None]

    @property
    def is_rejected(self) -> bool:
        """Whether the person lets us see nothing."""
        return bool(self._refused) and not self._devices

    async def run(self) -> None:
        """Watch until cancelled."""
        now = self._equipment.clock.now
        async with trio.open_nursery() as nursery:
            stop = self._directory.watch(self.address, self._news)
            try:
                while True:
                    self._due = now() + LOOK_SECONDS_MAX
                    await self._look(nursery)
                    await trio.sleep(LOOK_SECONDS_MIN)
                    while (left := self._due - now()) > 0:
                        self._woken = trio.Event()
                        with trio.move_on_after(left):
                            await self._woken.wait()
            finally:
                stop()

    def _news(self) -> None:
        """The overlay knows something new of the person: devices may have come, gone or started anew."""
        self._failures = 0
        self._refused.clear()
        for device in self._devices.values():
            device.doubt()
        self._look_at(0.0)

    def _failed(self) -> None:
        self._failures += 1
        delay = min(RETRY_SECONDS * 2.0 ** min(self._failures - 1, 8), LOOK_SECONDS_MAX)
        self._look_at(self._equipment.clock.now() + delay * self._equipment.chance.uniform(0.8, 1.0))

    def _look_at(self, when: float) -> None:
        if when < self._due:
            self._due = when
            self._woken.set()

    async def _look(self, nursery: trio.Nursery) -> None:
        node_ids: tuple[str, ...] = ()
        try:
            node_ids = (await self._directory.find_again(self.address)).node_ids
        except RemoteError:
            self._failed()
        own = self._equipment.settings.node_id
        for node_id in node_ids[:DEVICES_MAX]:
            is_new = node_id not in self._devices and node_id not in self._refused
            if is_new and node_id != own and len(self._devices) < DEVICES_MAX:
                flow = self._equipment.sip.overlay_flow(node_id)
                watch = DeviceWatch(
                    self._equipment, self.package, self.address, flow, self._seconds, self._device_changed
                )
                self._devices[node_id] = watch
                nursery.start_soon(self._watch, node_id, watch)
        self._is_looked_up = True
        self._settle()

    async def _watch(self, node_id: str, device: DeviceWatch) -> None:
        began = self._equipment.clock.now()
        try:
            await device.run()
        finally:
            del self._devices[node_id]
        status = 0 if device.failure is None else device.failure.status
        if status in REFUSALS:
            self._refused.add(node_id)
        elif status == GONE and self._equipment.clock.now() - began >= RETRY_SECONDS:
            self._look_at(0.0)  # it has started anew, and may be asked again
        else:
            self._failed()
        self._device_changed()

    def _device_changed(self) -> None:
        self._settle()
        self._changed()

    def _settle(self) -> None:
        if self._is_looked_up and all(device.is_known for device in self._devices.values()):
            self.settled.set()
