"""Text from outside, made fit for terminals and logs."""

from __future__ import annotations

from datetime import UTC, datetime


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
    moment = datetime.fromtimestamp(unix_ns // 1_000_000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
