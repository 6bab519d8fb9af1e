"""One JSON document on one line, whatever the texts in it came from."""

import json
from typing import Any


def json_line(value: Any) -> str:
    """`value` as JSON without a line end. Bytes of a message that are no UTF-8 stand in texts as surrogates: they are escaped."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
