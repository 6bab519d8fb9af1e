"""Trunks as a person sees them."""

import pytest

from p2psip.app.show import Printer
from p2psip.app.trunk_views import show_trunks


def test_a_node_without_trunks_says_which_section_names_one(capsys: pytest.CaptureFixture[str]) -> None:
    show_trunks(Printer(as_json=False), [])
    assert capsys.readouterr().out == "no trunks: [[trunk]] in p2psip.toml names a provider\n"
