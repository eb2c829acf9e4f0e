"""The families of attacks on a gateway, and how many cases of each were run.

A test says by `@pytest.mark.attack(FAMILY)` to which it belongs; every test so marked is one case.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

FAMILIES = {
    1: "length and coding together",
    2: "Content-Length",
    3: "Transfer-Encoding",
    4: "Transfer-Encoding over 1.0",
    5: "chunks",
    6: "fields",
    7: "trailers",
    8: "Host and absolute targets",
    9: "methods and request lines",
    10: "upgrades",
    11: "Expect, and early answers",
    12: "answers of broken origins",
    13: "fields that Connection names",
    14: "claimed addresses",
    15: "names with an underscore",
    16: "paths",
    17: "paths after a rewrite",
    18: "method override",
    19: "slow and silent callers",
    20: "sizes",
    21: "bodies without end, and bombs",
    22: "HTTP/2",
    23: "slow readers",
    24: "callers who leave",
    25: "cache poisoning",
    26: "tokens",
    27: "signatures",
    28: "redirects, proxy variables",
    29: "secrets",
    30: "forged log lines",
    31: "the admin port",
    32: "retry storms",
    33: "regular expressions",
    34: "bad configurations",
}
"""Number → what is attacked, or with what."""

WITHOUT = {27: "signatures come with dialects; until then they are refused"}
"""Families without a case → why."""

COLUMN = 39


def counted(cases: Iterable[tuple[int, str]]) -> Counter[int]:
    """Family → cases; `cases` are (family, name of the test), and the same one counts once."""
    return Counter(family for family, _ in set(cases))


def table(counts: Counter[int]) -> str:
    """All families in two columns, and the sum."""
    cells = [
        f"{family:2} {words:30} {counts[family] or ('-' if family in WITHOUT else 0):>4}"
        for family, words in FAMILIES.items()
    ]
    half = (len(cells) + 1) // 2
    lines = [f"{left:{COLUMN}}  {right}" for left, right in zip(cells[:half], cells[half:], strict=False)]
    lines += [f"{counts.total()} cases of {sum(map(bool, counts.values()))} families of attacks"]
    lines += [f"no case of {family}: {reason}" for family, reason in WITHOUT.items() if not counts[family]]
    return "\n".join(lines)


def append(path: Path, cases: Iterable[tuple[int, str]]) -> None:
    """Note the cases of one run of several, for a table over all of them."""
    with path.open("a") as file:
        file.writelines(f"{family} {name}\n" for family, name in sorted(set(cases)))


def read(path: Path) -> list[tuple[int, str]]:
    """What `append` noted; nothing where there is no such file."""
    if not path.exists():
        return []
    pairs = (line.partition(" ") for line in path.read_text().splitlines())
    return [(int(family), name) for family, _, name in pairs]


if __name__ == "__main__":
    found = read(Path(sys.argv[1]))
    if found:
        print(f"\n{table(counted(found))}")
