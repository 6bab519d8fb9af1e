"""What a person is told to type into a new phone."""

import pytest

from p2psip.app.phones import NewPhone
from p2psip.app.show import Printer
from p2psip.app.state import Phone
from p2psip.app.views import show_new_phone

NEW = NewPhone(Phone("desk", "alice@home.example", "MD5", "", 0), "secret")


def shown(capsys: pytest.CaptureFixture[str], *doors: tuple[str, str, int]) -> str:
    """What is printed when a node has these doors."""
    told = [{"transport": transport, "host": host, "port": port} for transport, host, port in doors]
    show_new_phone(Printer(as_json=False), NEW, {"sip": ["192.0.2.7", 5060], "doors": told})
    return " ".join(capsys.readouterr().out.split())


def test_udp_and_tcp_are_always_there(capsys: pytest.CaptureFixture[str]) -> None:
    words = shown(capsys)
    assert "Proxy / server 192.0.2.7:5060 Transport UDP or TCP You are sip:alice@home.example" in words
    assert "TLS" not in words


def test_the_first_door_of_each_kind_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    doors = [(kind, host, 5061) for host in ("192.0.2.7", "2001:db8::7") for kind in ("udp", "tls", "ws", "wss")]
    words = shown(capsys, *doors)
    assert "Or with TLS 192.0.2.7:5061 (it must trust `p2psip phone ca`)" in words
    assert "Or in a browser (ws) ws://192.0.2.7:5061/ Or in a browser (wss) wss://192.0.2.7:5061/" in words
    assert "2001" not in words
