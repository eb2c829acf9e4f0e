"""Text from outside, made fit for terminals and logs."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def printable(text: str) -> str:
    """Text without a character that a terminal or an eye would obey: escapes, controls, direction marks."""
    text = text.replace("\\", "\\\\")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in text)


def _escape(point: int) -> str:
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def timestamp(unix_ns: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    milliseconds = unix_ns // 1_000_000
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(16)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")[:-6]
