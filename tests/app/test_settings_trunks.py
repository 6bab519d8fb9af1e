"""`[[trunk]]`: what it becomes, and the words for what is wrong with it. No error and no text shows a password."""

import re
from pathlib import Path

import pytest

from p2psip.app.settings import SETTINGS_FILE, Settings, SettingsError, load_settings
from p2psip.app.settings_trunks import PASSWORD_BYTES_MAX
from p2psip.app.trunking import own_numbers, trunk_names
from p2psip.trunks.outside import TRUNKS_MAX

SECRET = "very-secret-indeed"
TRUNK = """
[[trunk]]
name = "provider"
server = "sip.provider.example"
user = "4930123"
"""


def _load(home: Path, text: str) -> Settings:
    (home / SETTINGS_FILE).write_text(text)
    return load_settings(home)


def test_without_any_there_are_none(tmp_path: Path) -> None:
    assert load_settings(tmp_path).trunk == ()


def test_a_short_one_has_safe_defaults(tmp_path: Path) -> None:
    trunk = _load(tmp_path, TRUNK).trunk[0].trunk(tmp_path, "home.example")
    assert str(trunk.server) == "sip:sip.provider.example"
    assert trunk.domain == "sip.provider.example"
    assert trunk.registers
    assert trunk.offer.members == frozenset()
    assert trunk.redirects_to == ()
    assert trunk.sources == ()


def test_people_are_completed_and_numbers_are_known_to_the_plan(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        TRUNK
        + 'numbers = { "+4930123456" = "alice", "+4930123457" = "bob@other.example" }\n'
        + 'offered_to = ["Carol"]\ncaller_ids = { "alice-2" = ["+4930123457"] }\n',
    )
    trunk = settings.trunk[0].trunk(tmp_path, "home.example")
    assert trunk.numbers == {"+4930123456": "alice@home.example", "+4930123457": "bob@other.example"}
    assert trunk.offer.members == frozenset({"carol@home.example"})
    assert trunk.caller_ids["alice-2"] == trunk.caller_ids["alice-2@home.example"] == ("+4930123457",)
    assert own_numbers(settings, "home.example") == dict(trunk.numbers)
    assert trunk_names(settings) == ["provider"]


def test_a_password_comes_from_a_file_and_is_in_no_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    settings = _load(tmp_path, TRUNK + 'password_file = "secret"\n')
    trunk = settings.trunk[0].trunk(tmp_path, "home.example")
    assert trunk.password == SECRET
    in_clear = _load(tmp_path, TRUNK + f'password = "{SECRET}"\n')
    for shown in (repr(settings), repr(trunk), repr(in_clear), str(in_clear.model_dump())):
        assert SECRET not in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TRUNK + "pasword = 'x'\n", "there is no such setting"),
        (TRUNK.replace("[[trunk]]", "[trunk]"), "write [[trunk]]"),
        (TRUNK + TRUNK, "two trunks are called 'provider'"),
        (TRUNK + 'password = "x"\npassword_file = "y"\n', "exclude one another"),
        (TRUNK + 'numbers = { "abc" = "alice" }\n', "is no telephone number"),
        (TRUNK + 'sources = ["203.0.113.300"]\n', "is no address or network"),
        (TRUNK + 'offered_to = ["*"]\n', "named members only"),
        (TRUNK + "port = 5080\n" + TRUNK.replace('"provider"', '"b"') + "port = 5080\n", "two trunks want port 5080"),
        (TRUNK + 'certificate = "c.pem"\n', "belong together"),
        (TRUNK.replace('"sip.provider.example"', '"sip:me@provider.example"'), "must name a server only"),
        (TRUNK.replace('"sip.provider.example"', '"http://provider.example"'), "is no SIP server"),
        (TRUNK + "calls_max = 0\n", "calls_max"),
        ('[dial_plan]\ntrunks = ["other"]\n' + TRUNK, "no [[trunk]] of this name"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        _load(tmp_path, text)
    assert words in str(error.value)


@pytest.mark.parametrize("line", ["password = 31415926", 'password = "31415926"\npassword_file = "x"'])
def test_an_error_shows_no_password(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError) as error:
        _load(tmp_path, TRUNK + line + "\n")
    assert "31415926" not in str(error.value)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    found = _load(tmp_path, TRUNK + 'password_file = "nowhere"\ncertificate_authority = "none.pem"\n').trunk[0]
    with pytest.raises(ValueError, match=r"trunk provider: the password file .*nowhere cannot be read"):
        found.trunk(tmp_path, "home.example")
    with pytest.raises(
        ValueError, match=r"trunk provider: its certificates cannot be used: .*none\.pem cannot be read"
    ):
        found.context(tmp_path)


def test_the_examples_of_the_documents_can_be_used(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "trunks.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "provider-password").write_text(SECRET)
    trunks = [_load(tmp_path, example).trunk for example in examples]
    assert [trunk.name for trunk in trunks[0]] == ["provider", "spare"]
    first = trunks[0][0].trunk(tmp_path, "home.example")
    assert first.numbers["+4930123458"] == "bob@home.example"
    assert first.password == SECRET


def test_so_many_trunks_and_no_more(tmp_path: Path) -> None:
    trunks = [TRUNK.replace('"provider"', f'"t{number}"') for number in range(TRUNKS_MAX + 1)]
    assert len(_load(tmp_path, "".join(trunks[1:])).trunk) == TRUNKS_MAX
    with pytest.raises(SettingsError, match="at most 32"):
        _load(tmp_path, "".join(trunks))


def test_so_much_of_a_password_file_is_read_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * (PASSWORD_BYTES_MAX + 1))
    trunk = _load(tmp_path, TRUNK + 'password_file = "secret"\n').trunk[0]
    with pytest.raises(ValueError, match="longer than 1024"):
        trunk.trunk(tmp_path, "home.example")
