"""The direction of imports: a file may import what is below it, never above it, and cores never import one another."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("p2psip", "overlay", "media", "bootstrap", "simulations")
CORES = ("p2psip.sip", "p2psip.naming", "overlay", "media", "bootstrap")
FLOOR_3 = ("p2psip.calls", "p2psip.presence", "p2psip.messaging", "p2psip.trunks", "p2psip.softphone")
FLOOR_4 = ("p2psip.app", "simulations")
SHELL_FILES = {
    "service",
    "web",
    "client",
    "accounts",
    "remembered",
    "tls",
    "connections",
    "player",
    "sockets",
    "server",
    "exchange",
    "dialog_table",
    "rtp_ports",
    "plane",
    "month",
    "phone_leg",
    "overlay_leg",
    "gathering",
}
CORE_FILES = {"media.turn.client", "media.turn.server"}  # named after the role in TURN
CORE_FORBIDDEN = {"trio", "socket", "time", "random", "secrets", "asyncio", "threading", "select"}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def _files() -> list[pathlib.Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _module(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _within(module: str, packages: tuple[str, ...]) -> str | None:
    return next((name for name in packages if module == name or module.startswith(name + ".")), None)


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def _floor(module: str) -> int:
    if _within(module, FLOOR_4):
        return 4
    if _within(module, FLOOR_3):
        return 3
    if module in CORE_FILES:
        return 1
    if _within(module, ("p2psip.net",)) or (_within(module, CORES) and module.rsplit(".", 1)[-1] in SHELL_FILES):
        return 2
    if _within(module, CORES):
        return 1
    return 0


def forbidden_imports(module: str, imports: set[str]) -> list[str]:
    """The imports of `module` that break the rules of the floors."""
    floor = _floor(module)
    core = _within(module, CORES)
    wrong = []
    for name in imports:
        ours = _within(name, PACKAGES) is not None
        if ours and _floor(name) > floor:
            wrong.append(f"{module} (floor {floor}) imports {name} (floor {_floor(name)}) above it")
        other = _within(name, CORES)
        if core and other and other != core:
            wrong.append(f"{module} imports another core: {name}")
        if floor <= 1 and name.split(".")[0] in CORE_FORBIDDEN and module != "p2psip.base.chance":
            wrong.append(f"{module} is a core and imports {name}")
    return wrong


@pytest.mark.parametrize("path", _files(), ids=_module)
def test_imports_point_downwards(path: pathlib.Path) -> None:
    assert forbidden_imports(_module(path), _imports(ast.parse(path.read_text()))) == []


def test_the_rule_catches_an_offender() -> None:
    assert forbidden_imports("overlay.peer", {"trio"})
    assert forbidden_imports("overlay.peer", {"media.stun"})
    assert forbidden_imports("p2psip.sip.layer", {"p2psip.calls.call"})
    assert forbidden_imports("p2psip.base.keys", {"p2psip.net.clock"})
    assert not forbidden_imports("overlay.service", {"trio", "overlay.peer", "p2psip.net.port"})


@pytest.mark.parametrize("path", _files(), ids=_module)
def test_files_and_functions_keep_their_size(path: pathlib.Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("path", _files(), ids=_module)
def test_every_module_says_what_lives_in_it(path: pathlib.Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
