"""Mistakes that people make, and what they are told. `UPDATE_GOLDEN=1` writes the golden texts anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import ConfigError, check, load, render_findings
from tests.config.cases import ENVIRON, unpack

CASES = sorted((Path(__file__).parent / "broken").glob("*.case"))


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_is_told(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpack(case.read_text(), tmp_path)
    monkeypatch.chdir(tmp_path)
    findings = check(path.relative_to(tmp_path), ENVIRON)
    told = render_findings(findings)
    golden = case.with_suffix(".txt")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(told)
    assert told == golden.read_text()

    assert any(finding.severity == "error" for finding in findings)
    for finding in findings:
        assert finding.line > 0
        assert finding.column > 0
        assert finding.mend, finding
    assert "hunter2" not in told
    assert "nput should" not in told
    assert "pydantic" not in told
    with pytest.raises(ConfigError) as error:
        load(path.relative_to(tmp_path), ENVIRON)
    assert list(error.value.findings) == findings
