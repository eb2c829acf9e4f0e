"""What may be a payment card's number: 13 to 19 digits that pass the Luhn check, spaces or dashes between."""

from __future__ import annotations

import re

_NOT_DIGITS = bytes(byte for byte in range(256) if not 0x30 <= byte <= 0x39)
_NUMBER = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"  # a UUID is no card
    r"|(?<![0-9][ +-])(?P<run>[0-9]++(?:[ +-][0-9]++)*+))(?![0-9A-Za-z])"
)
_GROUP = re.compile(r"[0-9]+")
FEWEST, _MOST = 13, 19
"""Digits of a payment card's number (ISO/IEC 7812-1)."""
_TIME = re.compile(
    r"1[0-9]{12}(?:[0-9]{3}){0,2}"  # Unix milliseconds, micro- or nanoseconds until 2033
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"
    r"(?:[0-9]{3})?"  # 20261127153000, with milliseconds or without
)
"""No card's number begins so, and one time in ten passes the check by chance."""
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""Twice a digit, and the digits of that added up."""


def has_many_digits(text: str) -> bool:
    """May it hold a card's number? A no is final, and quick."""
    return len(text.encode("ascii", "replace").translate(None, _NOT_DIGITS)) >= FEWEST


def without_card_numbers(text: str, mark: str) -> str:
    """Text in which `mark` stands for what may be a card's number."""
    return _NUMBER.sub(lambda found: found[0] if found["run"] is None else _masked(found["run"], mark), text)


def _masked(text: str, mark: str) -> str:
    """A run of groups of digits without those that are a card's number, alone or with their neighbours."""
    groups = [group.span() for group in _GROUP.finditer(text)]
    digits = _Digits("".join(text[start:end] for start, end in groups))
    parts: list[str] = []
    done, first, at = 0, 0, 0
    while first < len(groups):
        last, end = first, at
        while last < len(groups) and end - at < _MOST:
            end += groups[last][1] - groups[last][0]
            if FEWEST <= end - at <= _MOST and digits.are_a_card(at, end, alone=last == first):
                parts += [text[done : groups[first][0]], mark]
                done, first, at = groups[last][1], last + 1, end
                break
            last += 1
        else:
            at += groups[first][1] - groups[first][0]
            first += 1
    return "".join(parts) + text[done:]


class _Digits:
    """Digits, and the sums of Luhn's check up to each of them: to ask about any part costs the same.

    The check is that of ISO/IEC 7812-1, Annex B: with every second digit from the right doubled, they add up
    to a number that ends in 0.
    """

    def __init__(self, digits: str) -> None:
        self.digits = digits
        even, odd = [0], [0]
        """Sums in which digits at even places count once, and those at odd ones twice; and the reverse."""
        for place, digit in enumerate(map(int, digits)):
            once, twice = (even, odd) if place % 2 == 0 else (odd, even)
            once.append(once[-1] + digit)
            twice.append(twice[-1] + _DOUBLED[digit])
        self._sums = even, odd

    def are_a_card(self, start: int, end: int, *, alone: bool) -> bool:
        """Do those from `start` to `end` pass? `alone`: nothing stands between them: they may be a time."""
        sums = self._sums[(end - 1) % 2]
        if (sums[end] - sums[start]) % 10:
            return False
        return not (alone and _TIME.fullmatch(self.digits, start, end))
