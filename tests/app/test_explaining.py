"""`p2psip explain` as a person types it, without a node and without a DNS server."""

import json
from pathlib import Path

from typer.testing import CliRunner

from p2psip.app.cli import app
from p2psip.app.settings import SETTINGS_FILE

SETTINGS = """
[dns]
servers = ["127.0.0.1:9"]
[dial_plan]
country = "DE"
order = ["local", "overlay", "trunk"]
trunks = ["gold"]
[[dial_plan.rules]]
name = "pbx"
match = "7XX"
target = "sips:{dialled}@10.0.0.5"
[[trunk]]
name = "gold"
server = "sip:192.0.2.1"
user = "u"
"""


def explain(home: Path, *arguments: str) -> tuple[int, str]:
    (home / SETTINGS_FILE).write_text(SETTINGS)
    done = CliRunner().invoke(app, ["--home", str(home), *arguments])
    return done.exit_code, done.stdout


def test_the_path_of_a_number_in_words(tmp_path: Path) -> None:
    code, text = explain(tmp_path, "explain", "030 123456")
    assert code == 0
    assert "+4930123456 (DE)" in text
    assert "-> 5. trunk gold: the plan's trunk: +4930123456" in text
    assert "not asked: no node is running" in text
    assert "No node is running here" in text


def test_hops_with_the_name_that_a_certificate_must_show(tmp_path: Path) -> None:
    code, text = explain(tmp_path, "explain", "712")
    assert code == 0
    assert "tls 10.0.0.5:5061, certificate of 10.0.0.5" in text


def test_a_refusal_is_exit_code_1(tmp_path: Path) -> None:
    code, text = explain(tmp_path, "explain", "112")
    assert code == 1
    assert "Use another telephone" in text
    code, text = explain(tmp_path, "--json", "explain", "0900-123456", "--caller", "bob@home.example")
    facts = json.loads(text)
    assert (code, facts["caller"], facts["taken"]) == (1, "bob@home.example", None)
    assert (facts["steps"][-1]["stage"], facts["steps"][-1]["status"]) == ("refused", 403)


def test_what_is_typed_cannot_steer_a_terminal(tmp_path: Path) -> None:
    _code, text = explain(tmp_path, "explain", "[red]x\x1b[2J")
    assert "\x1b" not in text
