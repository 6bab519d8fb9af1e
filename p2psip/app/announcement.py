"""What phones of this node hear when a call for help fails: the words of the settings, or those that come with the program."""

from array import array
from functools import cache
from pathlib import Path

from media.announcement import announcement, emergency_speech, read_speech
from p2psip.app.settings import SettingsError
from p2psip.app.settings_calls import CallsSettings
from p2psip.base.errors import RemoteError


def announcement_of(settings: CallsSettings, home: Path | None) -> "array[int] | None":
    """All samples of it, None for "off"; a relative path is one in `home`. SettingsError when the file cannot be used."""
    if settings.announcement == "off":
        return None
    if not settings.announcement:
        return _packaged()
    try:
        return announcement(read_speech((home or Path()) / settings.announcement))
    except RemoteError as error:
        raise SettingsError(
            f"[calls] announcement must name a WAV file of 16-bit mono speech at 8 kHz: {error}"
        ) from error


@cache
def _packaged() -> "array[int]":
    return announcement(emergency_speech())
