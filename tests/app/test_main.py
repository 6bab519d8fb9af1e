"""The top of the program: what a person reads when the operating system refuses a port or an address."""

import errno

import pytest

from p2psip.app import __main__


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EADDRINUSE, "stop the program that has it, or choose another port"),
        (errno.EADDRNOTAVAIL, "name one that it has"),
        (errno.EACCES, "choose a higher one"),
    ],
)
def test_a_refused_port_comes_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, advice: str
) -> None:
    def refused() -> None:
        raise OSError(number, "cannot use UDP 192.0.2.1 port 5060: refused")

    monkeypatch.setattr(__main__, "app", refused)
    with pytest.raises(SystemExit) as left:
        __main__.main()
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("p2psip: cannot use UDP 192.0.2.1 port 5060: refused: ")
    assert said.endswith(f"{advice}\n")
