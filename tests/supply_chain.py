"""What is installed, and what is known about it. `python -m tests.supply_chain` is `make audit-dependencies`.

Exit status 0: no vulnerability is known; 1: some are; 2: nothing is known, the advisories could not be asked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = tuple(sorted(path.name for path in ROOT.glob("requirements*.lock")))
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9,._-]+\])?==([A-Za-z0-9.!+_-]+)(\s*;.*)?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def requirements(text: str) -> Iterator[str]:
    """The requirements of a lock file, each on one line."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def loose(text: str) -> list[str]:
    """What is not pinned to one version with a SHA-256: pip would have to trust whoever answers."""
    found = []
    for requirement in requirements(text):
        what, *hashes = re.split(r"\s+(?=--)", requirement)
        if not hashes or not _PINNED.fullmatch(what) or not all(map(_HASH.fullmatch, hashes)):
            found.append(what)
    return found


def audit(commands: Iterable[Sequence[str]]) -> int:
    """Run pip-audit, once per lock file, tell what it found in words, and return the exit status."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for command in commands:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            told = json.loads(ended.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError):
            why = (ended.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
            print(f"NOT audited, since the advisory database did not answer: {why}", file=sys.stderr)
            return 2
        found |= {(one["name"], one.get("version", "")): one for one in told}
    for (name, version), one in sorted(found.items()):
        for vulnerability in one.get("vulns", ()):
            names = ", ".join([vulnerability["id"], *vulnerability.get("aliases", ())])
            fixed = " or ".join(vulnerability.get("fix_versions", ())) or "no version yet"
            print(f"{name} {version}: {names}; fixed in {fixed}")
    skipped = sorted(name for (name, _), one in found.items() if "skip_reason" in one)
    if len(skipped) == len(found):
        print("NOT audited: whoever answered in place of PyPI knows none of the packages", file=sys.stderr)
    elif skipped:
        print(f"NOT audited: {', '.join(skipped)}", file=sys.stderr)
    vulnerable = sum(bool(one.get("vulns")) for one in found.values())
    print(f"{len(found) - len(skipped)} packages audited, {vulnerable} with known vulnerabilities")
    return 1 if vulnerable else 2 if skipped else 0


def main() -> int:
    """Audit all that the lock files pin, with the pip-audit of the environment that `make` keeps for it."""
    tool = ROOT / ".venv" / "audit" / "bin" / "pip-audit"
    options = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    return audit([str(tool), *options, "--requirement", str(ROOT / name), *sys.argv[1:]] for name in LOCKS)


if __name__ == "__main__":
    sys.exit(main())
