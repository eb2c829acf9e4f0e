from __future__ import annotations

from pathlib import Path

from gateway.config import check_workers, load
from tests.config.cases import ENVIRON, FULL, unpack


def test_rules_that_count_need_shared_state_or_a_scope(tmp_path: Path) -> None:
    config = load(unpack(FULL, tmp_path), ENVIRON)
    assert check_workers(config, 1) == []
    findings = check_workers(config, 2)
    assert [(Path(finding.file).name, finding.line) for finding in findings] == [
        ("metadata.yaml", 1),
        ("metadata.yaml", 3),
    ]
    assert findings[0].message == (
        "with 2 workers and state: memory, this rate_limit would count in each worker apart"
    )


def test_shared_state_is_for_any_number(tmp_path: Path) -> None:
    text = FULL.replace("state: memory", "state: valkey://127.0.0.1:6379/0")
    assert check_workers(load(unpack(text, tmp_path), ENVIRON), 8) == []


def test_a_scope_of_its_own_is_meant(tmp_path: Path) -> None:
    text = FULL.replace("by: consumer}", "by: consumer, scope: worker}").replace(
        "- circuit_breaker: {", "- circuit_breaker: {scope: worker, "
    )
    assert check_workers(load(unpack(text, tmp_path), ENVIRON), 8) == []
