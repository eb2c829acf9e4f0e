"""What is installed is what was looked at: by version and hash, in an image that may write nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.supply_chain import LOCKS, ROOT, audit, loose, requirements

HASH = f"--hash=sha256:{'0' * 64}"
MARKER = "python_full_version < '3.12' and sys_platform != 'win32'"
GOOD = f"""\
# a comment
httptools==0.7.1 \\
    {HASH} \\
    {HASH}
uvicorn[standard]==0.35.0 ; {MARKER} \\
    {HASH}
"""
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_every_lock_pins_every_package_with_its_hashes() -> None:
    assert {"requirements.lock", "requirements-dev.lock", "requirements-audit.lock"} <= set(LOCKS)
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert list(requirements(text)), name
        assert loose(text) == [], name


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (f" \\\n    {HASH} \\\n    {HASH}", "", ["httptools==0.7.1"]),
        ("==0.7.1", ">=0.7.1", ["httptools>=0.7.1"]),
        ("==0.7.1", "", ["httptools"]),
        ("==0.7.1", "==0.7.*", ["httptools==0.7.*"]),
        ("httptools==0.7.1", "httptools @ https://a.example/a.whl", ["httptools @ https://a.example/a.whl"]),
        ("httptools==0.7.1", "--index-url https://a.example/\nhttptools==0.7.1", ["--index-url https://a.example/"]),
        ("sha256:0", "md5:0", ["httptools==0.7.1", f"uvicorn[standard]==0.35.0 ; {MARKER}"]),
    ],
)  # fmt: skip
def test_what_is_loose_is_found(before: str, after: str, told: list[str]) -> None:
    assert loose(GOOD) == []
    assert before in GOOD
    assert loose(GOOD.replace(before, after)) == told


def test_locks_pin_what_the_project_asks_for() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    asked = re.findall(
        r'^    "([a-z0-9-]+)>=', project.partition("dependencies = [")[2].partition("]")[0], re.MULTILINE
    )
    pinned = {line.partition("==")[0] for line in requirements((ROOT / "requirements.lock").read_text())}
    assert len(asked) > 15
    assert set(asked) <= pinned


def test_nothing_is_installed_but_by_hash() -> None:
    for file, text in (("Dockerfile", DOCKERFILE), ("Makefile", MAKEFILE)):
        installs = re.findall(r"^.*pip install .*$", text, re.MULTILINE)
        assert len(installs) >= 2
        for line in installs:
            own = re.search(r"--no-deps .*(--editable \.|/tmp/wheel/\*\.whl)$", line)  # ours, built here
            assert own or "--require-hashes -r" in line, f"{file}: {line}"


def test_the_image_runs_as_nobody_special_from_a_pinned_base() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${PYTHON}"] * 2
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-[a-z]+$", DOCKERFILE, re.MULTILINE)
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001(:10001)?$", final, re.MULTILINE)
    assert final.index("USER ") > final.rindex("COPY "), "what it runs is not its own to change"
    assert "RUN" not in final.partition("USER ")[2]
    assert "HEALTHCHECK" in final
    assert "PYTHONDONTWRITEBYTECODE=1" in final


def told_by(tmp_path: Path, said: str, *, status: int = 0, error: str = "") -> list[str]:
    script = tmp_path / "pip-audit.py"
    script.write_text(f"import sys\nprint({said!r})\nprint({error!r}, file=sys.stderr)\nsys.exit({status})\n")
    return [sys.executable, str(script)]


def test_an_audit_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = {"name": "uvloop", "version": "0.21.0", "vulns": []}
    assert audit([told_by(tmp_path, json.dumps({"dependencies": [fine]}))]) == 0
    assert capsys.readouterr() == ("1 packages audited, 0 with known vulnerabilities\n", "")
    hole = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0", "1.9.1"]}
    broken = {"name": "h2", "version": "1.9", "vulns": [hole, {"id": "PYSEC-2"}]}
    assert audit([told_by(tmp_path, json.dumps({"dependencies": [fine, broken]}), status=1)] * 2) == 1
    assert capsys.readouterr().out.splitlines() == [
        "h2 1.9: PYSEC-1, CVE-1; fixed in 2.0 or 1.9.1",
        "h2 1.9: PYSEC-2; fixed in no version yet",
        "2 packages audited, 1 with known vulnerabilities",
    ]


def test_what_could_not_be_asked_is_no_clean_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit([told_by(tmp_path, "", status=1, error="traceback\nERROR: no route to host")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("NOT audited, since the advisory database did not answer: ")
    assert "no route to host" in said.err
    assert audit([told_by(tmp_path, "not JSON")]) == 2
    skipped = {"name": "uvloop", "skip_reason": "not on PyPI"}
    assert audit([told_by(tmp_path, json.dumps({"dependencies": [skipped]}))]) == 2
    assert "knows none of the packages" in capsys.readouterr().err
    known = {"name": "h2", "version": "4.3.0", "vulns": []}
    assert audit([told_by(tmp_path, json.dumps({"dependencies": [skipped, known]}))]) == 2
    assert "NOT audited: uvloop\n" in capsys.readouterr().err
