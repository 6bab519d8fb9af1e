"""`[presence]`: who may see what."""

from pathlib import Path

import pytest

from p2psip.app.settings import SETTINGS_FILE, SettingsError, load_settings
from p2psip.presence.ports import Permissions


def permissions(home: Path, text: str) -> Permissions:
    (home / SETTINGS_FILE).write_text(f"[presence]\n{text}\n")
    return load_settings(home).presence.permissions("home.example")


def test_by_default_members_see_who_is_there_and_nobody_sees_calls(tmp_path: Path) -> None:
    fresh = permissions(tmp_path, "")
    assert fresh == Permissions()
    assert fresh.may_see("anybody@home.example")
    assert not fresh.may_see_calls("anybody@home.example")


def test_people_are_named_in_short_or_in_full(tmp_path: Path) -> None:
    some = permissions(tmp_path, 'visible_to = ["Alice", "sip:bob@home.example"]\nbusy_to = "overlay"')
    assert some.may_see("alice@home.example")
    assert some.may_see("bob@home.example")
    assert not some.may_see("carol@home.example")
    assert some.may_see_calls("carol@home.example")
    assert not permissions(tmp_path, 'visible_to = "nobody"').may_see("alice@home.example")


@pytest.mark.parametrize("text", ['visible_to = "everybody"', "watch_seconds = 9", "watch_seconds = 3601"])
def test_wrong_settings_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        permissions(tmp_path, text)
