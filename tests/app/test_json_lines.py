"""JSON lines of texts that others sent."""

import json

from p2psip.app.json_lines import json_line


def test_bytes_that_are_no_text_are_escaped_and_all_else_stands_as_it_is() -> None:
    name = b"Zo\xc3\xab \xff".decode("utf-8", "surrogateescape")
    line = json_line({"name": f"{name}\n"})
    assert line == '{"name": "Zoë \\udcff\\n"}'
    assert line.encode()  # a terminal takes it
    assert json.loads(line) == {"name": f"{name}\n"}
