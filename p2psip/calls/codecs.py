"""Codecs by name in an offer: which ones a provider is offered, and in which order (RFC 3551 §6 for those without a=rtpmap)."""

from collections.abc import Sequence
from dataclasses import replace

from p2psip.calls.descriptions import Audio

_STATIC = {"0": "pcmu", "3": "gsm", "4": "g723", "8": "pcma", "9": "g722", "13": "cn", "18": "g729"}
_BESIDES = ("telephone-event", "cn")


def preferring(audio: Audio, names: Sequence[str]) -> Audio:
    """`audio` with the codecs `names` only, in that order, digits and comfort noise last; as it is when it has none of them."""
    if not names:
        return audio
    named = {number: _STATIC.get(number, "") for number in audio.formats}
    for attribute, value in audio.attributes:
        number, _, rest = (value or "").partition(" ")
        if attribute == "rtpmap" and number in named:
            named[number] = rest.partition("/")[0].strip().lower()
    wanted = [name.lower() for name in names]
    chosen = [each for name in wanted for each in audio.formats if named[each] == name]
    if not chosen:
        return audio
    kept = (*chosen, *(each for each in audio.formats if named[each] in _BESIDES and each not in chosen))
    attributes = tuple(
        (attribute, value)
        for attribute, value in audio.attributes
        if attribute not in ("rtpmap", "fmtp") or (value or "").partition(" ")[0] in kept
    )
    return replace(audio, formats=kept, attributes=attributes)
