"""Plain scalars as YAML 1.2's core schema reads them (YAML 1.2.2 §10.3.2).

PyYAML follows YAML 1.1, where `off` is False, `010` is 8 and `12:30:00` is 45000.
"""

from __future__ import annotations

import re

from gateway.units import BareNumber

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
LONGEST_NUMBER = 18
"""Digits of a whole number, all that 64 bits can hold."""
_DECIMAL = re.compile(rf"[-+]?[0-9]{{1,{LONGEST_NUMBER}}}")
_OCTAL = re.compile(r"0o[0-7]{1,20}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")


def read_plain(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Two things stay text although the core schema calls them numbers, because no setting takes them:
    infinity and not-a-number, and integers beyond 18 digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit():
        return BareNumber(text)
    return text
