"""Logging for a person (one line, a short time) or for a machine (one JSON object a line)."""

import logging
import sys

from p2psip.app.json_lines import json_line

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "unix": round(record.created, 3),
            "level": record.levelname.lower(),
            "where": record.name,
            "words": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json_line(line)


class _Words(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        """One line: what a stranger sent may hold line ends and commands to a terminal."""
        line = super().formatMessage(record)
        return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)


def set_up_logging(level: str, *, json_lines: bool) -> None:
    """Send all logging to standard error at `level`."""
    target = logging.StreamHandler(sys.stderr)
    words = _Words("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    target.setFormatter(_JsonLines() if json_lines else words)
    logging.basicConfig(level=_LEVELS[level], handlers=[target], force=True)
    for name in ("hypercorn.error", "hypercorn.access", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))
