"""The values YAML may hold, each with its unit: durations, sizes, percentages, rates, secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr, ValidationInfo

from gateway.mistakes import Mistake

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")
_RATE = re.compile(r"([0-9]{1,12})/(?:([0-9]{1,9}))?(second|minute|hour|day)")
_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class BareNumber(float):
    """A float as it stands in a YAML file: where a unit is due, it has none."""

    __slots__ = ()


def parse_duration(text: object) -> float:
    """Seconds in `500ms`, `5s`, `1m`, `2h` or `1d`. A bare number is refused: its unit would be a guess."""
    if isinstance(text, float) and not isinstance(text, BareNumber):  # already parsed
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Mistake(f"{text!r} is not a duration", "write a number and ms, s, m, h or d, like 500ms or 5s")
    return float(match[1]) * _SECONDS[match[2]]


def _number(value: float) -> str:
    """Decimal digits as they can be read again: never an exponent, to a millionth."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def format_duration(seconds: float) -> str:
    """The shortest YAML form of a duration: 0.5 → `500ms`, 90.0 → `90s`, 120.0 → `2m`."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{_number(seconds / _SECONDS[unit])}{unit}"
    if seconds >= 1:
        return f"{_number(seconds)}s"
    return f"{_number(seconds * 1000)}ms"


def parse_size(text: object) -> int:
    """Bytes in `64KiB`, `1MiB`, `100B`."""
    if isinstance(text, int) and not isinstance(text, bool) and text == 0:
        return 0
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Mistake(f"{text!r} is not a size", "write a whole number and B, KiB, MiB or GiB, like 64KiB")
    return int(match[1]) * _BYTES[match[2]]


def format_size(count: int) -> str:
    """The shortest YAML form of a size: 65536 → `64KiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if count >= _BYTES[unit] and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


def parse_percent(text: object) -> float:
    """A share between 0 and 1 from `20%`."""
    if isinstance(text, float) and not isinstance(text, BareNumber):
        return text
    match = _PERCENT.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) > 100:
        raise Mistake(f"{text!r} is not a percentage", "write a number from 0 to 100 and %, like 20%")
    return float(match[1]) / 100


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in so many seconds: `100/second`, `5/10minute`."""

    amount: int
    seconds: int
    text: str

    @classmethod
    def parse(cls, text: object) -> Rate:
        """Read `100/second`, `1/minute`, `5/10minute`."""
        if isinstance(text, Rate):
            return text
        match = _RATE.fullmatch(text) if isinstance(text, str) else None
        if match is None or int(match[1]) == 0 or match[2] == "0":
            raise Mistake(
                f"{text!r} is not a rate",
                "write calls/period, like 100/second, 5/10minute, 1000/hour or 1/day",
            )
        return cls(int(match[1]), int(match[2] or 1) * _PERIODS[match[3]], match[0])

    def __str__(self) -> str:
        return self.text


class _Text:
    """Shows a parsed value as the string it is written as, in the JSON Schema."""

    def __init__(self, pattern: re.Pattern[str], *examples: str) -> None:
        self.pattern, self.examples = pattern.pattern, list(examples)

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$", "examples": self.examples}


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    _Text(_DURATION, "500ms", "5s", "1h"),
]
"""Seconds as float; in YAML `500ms`, `5s`, `1m`, `2h`, `1d`."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, when_used="json"),
    _Text(_SIZE, "64KiB", "1MiB"),
]
"""Bytes as int; in YAML `100B`, `64KiB`, `1MiB`, `1GiB`."""

Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    PlainSerializer(lambda share: f"{_number(share * 100)}%", when_used="json"),
    _Text(_PERCENT, "20%"),
]
"""A share from 0.0 to 1.0; in YAML `20%`."""

RateText = Annotated[
    Rate,
    BeforeValidator(Rate.parse),
    PlainSerializer(str),
    _Text(_RATE, "100/second", "1/minute"),
]
"""A `Rate`; in YAML `100/second`."""


class PrivateText(str):
    """Text that may hold a secret, though not always: no repr shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


Secret = SecretStr
"""A value that no output shows; in YAML best as `{env: NAME}` or `{file: PATH}`."""

_PEM = "-----BEGIN "


def is_pem(value: str) -> bool:
    """Is it PEM text itself, and no path?"""
    return value.startswith(_PEM)


def _locate(value: str, info: ValidationInfo) -> str:
    folder: Path | None = (info.context or {}).get("folder")
    return value if folder is None or is_pem(value) else str(folder / value)


def locate_secret(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """What `Pem` does to a path, for private keys."""
    return SecretStr(_locate(value.get_secret_value(), info))


Pem = Annotated[str, AfterValidator(_locate)]
"""PEM text, or the path of a file with it; relative ones begin at the `folder` of the validation context."""

PemSecret = Annotated[SecretStr, AfterValidator(locate_secret)]
"""The same for private keys."""
