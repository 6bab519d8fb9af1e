"""Settings: defaults, the file, what the command line lays over it, and one sentence for each way to get it wrong."""

from pathlib import Path
from typing import Any

import pytest

from p2psip.app.settings import SETTINGS_FILE, Settings, SettingsError, home_folder, load_settings


def write(home: Path, text: str | bytes) -> Path:
    path = home / SETTINGS_FILE
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    assert load_settings(tmp_path) == Settings()
    assert load_settings(tmp_path / "missing").sip.host == "127.0.0.1"


def test_the_file_counts(tmp_path: Path) -> None:
    write(tmp_path, '[sip]\nport = 5070\nalgorithms = ["SHA-256", "MD5"]\n[overlay]\nhosts = ["::1"]\n')
    settings = load_settings(tmp_path)
    assert (settings.sip.port, settings.sip.algorithms, settings.overlay.hosts) == (5070, ("SHA-256", "MD5"), ("::1",))


def test_the_command_line_is_laid_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, '[sip]\nport = 5070\nhost = "127.0.0.2"\n')
    settings = load_settings(tmp_path, {"sip": {"port": 0, "host": None}, "log": {"level": "debug"}})
    assert (settings.sip.port, settings.sip.host, settings.log.level) == (0, "127.0.0.2", "debug")


WRONG: list[tuple[str | bytes, tuple[str, ...]]] = [
    ("[sip]\nprot = 5060\n", ("sip.prot", "no such setting", "port")),
    ("[spi]\nport = 5060\n", ("spi", "no such setting", "sip")),
    ("prot = 5060\n", ("prot", "no such setting")),
    ('[sip]\nport = "telephone"\n', ("sip.port", "integer", "'telephone'")),
    ("[sip]\nport = 65536\n", ("sip.port", "65535", "65536")),
    ("[sip]\nport = -1\n", ("sip.port", "-1")),
    ("[sip]\ntls_port = 5060\n", ("sip", "must differ")),
    ('[sip]\ncertificate = "x.pem"\n', ("sip", "name both files")),
    ('[sip]\nmore_hosts = ["router"]\n', ("sip.more_hosts.0", "'router' is not an IP address")),
    ('[sip]\nhost = "localhost"\n', ("sip.host", "'localhost' is not an IP address")),
    ('[overlay]\nhosts = ["nowhere"]\n', ("overlay.hosts.0", "'nowhere' is not an IP address")),
    ("[overlay]\nhosts = []\n", ("overlay.hosts",)),
    ('[overlay]\nhosts = ["::1", "::1", "::1"]\n', ("overlay.hosts",)),
    ("[sip]\nsession_seconds = 89\n", ("sip.session_seconds", "90 or more, or 0", "89")),
    ("[sip]\nsession_seconds = 86401\n", ("sip.session_seconds", "86400", "86401")),
    ('[sip]\nalgorithms = ["SHA-1"]\n', ("sip.algorithms.0", "'MD5' or 'SHA-256'")),
    ('[log]\nlevel = "loud"\n', ("log.level", "'debug', 'info', 'warning' or 'error'")),
    ("sip = 5\n", ("sip", "[sip]")),
    ('[sip]\nalgorithms = "MD5"\n', ("sip.algorithms", "must be a list")),
    ('[network]\nport_mapping = "perhaps"\n', ("network.port_mapping", "true or false")),
    ('[[trunk]]\nname = "x"\n', ("trunk.0.server", "add a line server = …")),
    ('[[trunk]]\nname = "x"\nsrever = "sip:p.example"\n', ("trunk.0.srever", "no such setting")),
    ('[dial_plan]\ncountry = "DE"\n[dial_plan.rules]\nmatch = "+1."\n', ("[[dial_plan.rules]]",)),
    ('[presence]\nvisible_to = "everybody"\n', ("presence.visible_to: take", "'everybody'")),
    ("[domain]\nport = 5062\n", ("domain: name is needed",)),
    ("[presence]\nbusy_to = 5\n", ("presence.busy_to: take",)),
    ("[media]\nfirst_port = 200\nlast_port = 200\n", ("media", "greater than first_port")),
    ("[relay]\nfirst_port = 50000\nlast_port = 50000\n", ("relay", "greater than first_port")),
    ('[relay]\ncertificate = "a.pem"\n', ("relay", "belong together")),
    ('[relay]\ncoturn_host = "192.0.2.1"\n', ("relay", "static-auth-secret")),
    ("[relay]\nmegabits_max = 0\n", ("relay.megabits_max", "greater than 0")),
    ("[relay]\nmegabits_max = inf\n", ("relay.megabits_max", "100000")),
    ("[relay]\ngigabytes_per_month_max = 1e9\n", ("relay.gigabytes_per_month_max", "1000000")),
    ('[relay]\nexternal_hosts = ["0.0.0.0"]\n', ("relay.external_hosts.0", "no address that others can reach")),
    ('[overlay]\nrole = "client"\n[relay]\nvolunteer = true\n', ("cannot relay for others",)),
    ('[overlay]\nrole = "king"\n', ("overlay.role", "'auto', 'peer' or 'client'")),
    ("[sip\n", ("not valid TOML", "line 1")),
    ("[sip]\nport = 1\nport = 2\n", ("not valid TOML", "line 3")),
    (b"[sip]\nhost = '\xff'\n", ("UTF-8",)),
    ("x = " + "[" * 5_000, ("not valid TOML",)),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=lambda value: repr(value)[:40])
def test_each_mistake_is_one_sentence_with_file_and_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {"log": {"level": None}})
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    for word in words:
        assert word in said


def test_no_secret_is_printed_with_a_mistake_beside_it(tmp_path: Path) -> None:
    write(tmp_path, '[relay]\ncoturn_secret = "s3cret"\nfirst_port = 50000\nlast_port = 50000\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_mistake_on_the_command_line_does_not_blame_the_file(tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {"sip": {"host": "localhost"}}
    with pytest.raises(SettingsError, match=r"on the command line, sip\.host: 'localhost' is not an IP address"):
        load_settings(tmp_path, changes)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).mkdir()
    with pytest.raises(SettingsError, match="Is a directory"):
        load_settings(tmp_path)


def test_a_section_that_is_no_table_is_not_hidden_by_the_command_line(tmp_path: Path) -> None:
    write(tmp_path, "log = 5\n")
    with pytest.raises(SettingsError, match=r"\[log\]"):
        load_settings(tmp_path, {"log": {"level": "debug"}})


def test_the_folder_is_the_chosen_one_or_the_platforms(tmp_path: Path) -> None:
    assert home_folder(tmp_path) == tmp_path
    assert home_folder(None).name == "p2psip"


@pytest.mark.parametrize("section", ["sip", "relay", "domain"])
def test_files_are_looked_for_in_the_folder_of_the_node(section: str, tmp_path: Path) -> None:
    name = 'name = "example.org"' if section == "domain" else ""
    (tmp_path / "p2psip.toml").write_text(f'[{section}]\n{name}\ncertificate = "a/x.pem"\nkey = "/etc/x.key"\n')
    found = getattr(load_settings(tmp_path), section)
    assert (found.certificate, found.key) == (tmp_path / "a" / "x.pem", Path("/etc/x.key"))
