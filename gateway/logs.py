"""The gateway's own log lines on standard error: what it did to itself, never what callers sent.

Should an error's words quote a caller after all, secrets and personal data in them go as in the access log.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from types import TracebackType
from typing import Literal

from gateway.observer.masking import Masking, MaskSettings


class JsonFormatter(logging.Formatter):
    """One JSON object a line; everything in it escaped, so that no value can forge a line."""

    def __init__(self) -> None:
        super().__init__()
        self.masking = Masking()

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": self.masking.prose(record.getMessage()),
        }
        if record.exc_info:
            entry["exception"] = self.masking.prose(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=True)


_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


class TextFormatter(logging.Formatter):
    """For people: time, level, message, and a traceback below it. Line breaks are ours; no escape is."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self.masking = Masking()

    def format(self, record: logging.LogRecord) -> str:
        return self.masking.prose(super().format(record)).translate(_ESCAPED)


def set_up(level: str = "info", form: Literal["json", "text"] = "text") -> None:
    """Send the gateway's log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())


def mask_by(rules: MaskSettings) -> None:
    """Let what is logged from now on be masked by these rules: a reload may bring others."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter | TextFormatter):
            handler.formatter.masking = Masking(rules)


def log_crashes() -> None:
    """Let what ends this process or one of its threads be a log line like any other, not a bare traceback."""

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            logging.getLogger("gateway").critical("crashed", exc_info=(kind, error, trace))
        else:  # Ctrl-C
            sys.__excepthook__(kind, error, trace)

    def crashed_in_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            crashed(told.exc_type, told.exc_value, told.exc_traceback)

    sys.excepthook = crashed
    threading.excepthook = crashed_in_thread
