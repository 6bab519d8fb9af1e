"""Hostile nodes that keep others from finding what is there: by silence, by denial, by showing what is no more true."""

from overlay.holder import read_store
from overlay.records import Record, decode_record, decode_together, encode_together
from overlay.rpc import PING
from p2psip.base.errors import RemoteError
from simulations.enrolment import Device
from simulations.hostile.hostile import Hostile
from simulations.hostile.lying import Asked, Reply
from simulations.network.endpoint import Endpoint

KEPT_MAX = 4_096


class Dropper(Hostile):
    """Answers pings, so that it stays in the tables of others, and nothing else."""

    answered = frozenset((PING,))

    def holds(self, asked: Asked) -> bool:
        """Nothing is held."""
        return False

    def reply(self, asked: Asked, honest: Reply) -> Reply | None:
        """Silence costs the asker its time-out."""
        if asked.method in self.answered:
            return honest
        self.did("dropped")
        return None


class Suppressor(Hostile):
    """Takes every record and shows none: says that there is nothing."""

    def holds(self, asked: Asked) -> bool:
        """What is after the gang's targets is thrown away."""
        return not self.gang.is_after(_key_of(asked))

    def show_records(self, asked: Asked, key: bytes, honest: list[bytes]) -> list[bytes]:
        """None."""
        if not self.gang.is_after(key):
            return honest
        self.did("denied")
        return []


class Staler(Hostile):
    """Shows the oldest record of each author that has not expired: where people were, and those who left as if they had not."""

    def __init__(self, number: int, person: str, device: Device, endpoint: Endpoint) -> None:
        super().__init__(number, person, device, endpoint)
        self._kept: dict[tuple[str, bytes, bytes], Record] = {}

    def holds(self, asked: Asked) -> bool:
        """All is held, and the first of each author is kept."""
        try:
            record, *_others = read_store(asked.arguments[0], self.core.peer.store, asked.sender)
        except (RemoteError, IndexError, TypeError):
            return True
        place = record.kind, record.key, record.certificate
        kept = self._kept.get(place)
        if kept is None or kept.expiry <= asked.unix:
            self._kept[place] = record
            if len(self._kept) > KEPT_MAX:
                del self._kept[next(iter(self._kept))]
        return True

    def show_records(self, asked: Asked, key: bytes, honest: list[bytes]) -> list[bytes]:
        """The kept ones, and of the honest answer those whose author said nothing older."""
        old = [kept for kept in self._kept.values() if kept.key == key and kept.expiry > asked.unix]
        authors = {(kept.kind, kept.certificate) for kept in old}
        told = decode_together(honest)
        self.did("stale", sum(kept not in told for kept in old))
        return encode_together([*old, *(record for record in told if (record.kind, record.certificate) not in authors)])


def _key_of(asked: Asked) -> bytes:
    try:
        return decode_record(asked.arguments[0][0]).key
    except (RemoteError, IndexError, TypeError):
        return b""
