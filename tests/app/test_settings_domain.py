"""The section `[domain]`: closed by default, and errors that say what to change."""

from pathlib import Path

import pytest

from p2psip.app.settings import SettingsError, load_settings

OWN = ("alice@home.example", "1001@home.example")


def test_the_door_is_closed_unless_it_has_a_name(tmp_path: Path) -> None:
    settings = load_settings(tmp_path).domain
    assert settings.door("home.example", OWN) is None


def test_people_are_those_of_the_node_and_those_that_are_listed(tmp_path: Path) -> None:
    text = '[domain]\nname = "People.Example."\npeople = ["Bob", "carol@home.example"]\ncalls_per_host_max = 3\n'
    (tmp_path / "p2psip.toml").write_text(text)
    door = load_settings(tmp_path).domain.door("home.example", OWN)
    assert door is not None
    assert door.name == "people.example"
    assert door.people == {
        "alice": "alice@home.example",
        "1001": "1001@home.example",
        "bob": "bob@home.example",
        "carol": "carol@home.example",
    }
    assert door.limits.calls_per_host_max == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "https://people.example"', "is no domain name"),
        ('name = "people"', "is no domain name"),
        ('name = "192.0.2.1"', "is no domain name"),
        ('name = "people.example"\ntls_port = 5061', "needs certificate and key"),
        ('name = "people.example"\nport = 5061\ntls_port = 5061\ncertificate = "a"\nkey = "b"', "must differ"),
        ('hosts = ["people.example"]', "is not an IP address"),
        ("calls_max = 0", "greater than or equal to 1"),
        ("ports = 1", "no such setting"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p2psip.toml").write_text(f"[domain]\n{text}\n")
    with pytest.raises(SettingsError, match=words):
        load_settings(tmp_path)
