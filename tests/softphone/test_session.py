"""What a softphone says and takes: RTP unless it is asked for SRTP, and keys that fit one another."""

import pytest

from media.srtp import SrtpKeys
from p2psip.base.chance import Chance
from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip.sdp import SessionDescription
from p2psip.softphone.session import Session


class FakeLine:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.local: Address = ("192.0.2.1", 4_000)
        self.remote: Address | None = None
        self.keys: SrtpKeys | None = None

    def set_remote(self, rtp: Address, signalling_host: str, *, rtcp: Address | None = None) -> None:
        self.remote = rtp

    def set_keys(self, keys: SrtpKeys | None) -> None:
        self.keys = keys

    def close(self) -> None:
        pass


def session(seed: int) -> tuple[Session, FakeLine]:
    line = FakeLine()
    return Session(line, Chance.seeded(seed), "192.0.2.9"), line


@pytest.mark.parametrize("secure", [False, True])
def test_two_of_them_agree(secure: bool) -> None:
    (one, line), (other, there) = session(1), session(2)
    offer = one.offer(secure=secure)
    assert SessionDescription.parse(offer).media[0].protocol == ("RTP/SAVP" if secure else "RTP/AVP")
    one.take_answer(other.answer(offer))
    assert line.remote == there.remote == ("192.0.2.1", 4_000)
    if secure:
        assert line.keys is not None
        assert there.keys is not None
        assert (line.keys.send, line.keys.receive) == (there.keys.receive, there.keys.send)
    else:
        assert line.keys is there.keys is None


def test_hold_keeps_the_keys() -> None:
    (one, line), (other, _) = session(1), session(2)
    offer = one.offer(secure=True)
    one.take_answer(other.answer(offer))
    keys = line.keys
    one.take_answer(other.answer(offer.replace(b"a=sendrecv", b"a=sendonly")))
    assert line.keys == keys


@pytest.mark.parametrize("protocol", [b"UDP/TLS/RTP/SAVP", b"RTP/SAVP"])
def test_what_it_cannot_do_is_refused(protocol: bytes) -> None:
    one, _ = session(1)
    with pytest.raises(RemoteError) as caught:
        one.answer(one.offer(secure=False).replace(b"RTP/AVP", protocol))
    assert caught.value.status == 488
