"""The gateway's own log lines on standard error: what it did to itself, never what callers sent."""

from __future__ import annotations

import json
import logging
import time
from typing import Literal


class JsonFormatter(logging.Formatter):
    """One JSON object a line; everything in it escaped, so that no value can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=True)


_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


class TextFormatter(logging.Formatter):
    """Lines for people. Line breaks are ours: findings and tracebacks have some; no escape is."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_ESCAPED)


def set_up(level: str = "info", form: Literal["json", "text"] = "text") -> None:
    """Send the gateway's log to standard error."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())
