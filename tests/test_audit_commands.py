"""`gateway audit verify` and `export`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.audit import AuditLog
from gateway.audit.heads import add_head, head
from gateway.audit.segments import segments
from gateway.cli import main

KEY = "0123456789abcdef0123456789abcdef"
DAYS = (
    "2026-01-30T23:59:59.000Z",
    "2026-01-31T00:00:00.000Z",
    "2026-01-31T12:00:00.000Z",
    "2026-02-01T00:00:00.000Z",
)
CONFIG = f"""
version: 1
routes: []
audit: {{key: {KEY}, head: {{path: heads}}}}
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of four entries, as the configuration beside it says, and one head."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    (tmp_path / "routes.yaml").write_text(CONFIG)
    audit = AuditLog(tmp_path / "var" / "audit", KEY.encode())
    audit.append([{"time": day, "kind": "call", "number": number} for number, day in enumerate(DAYS)])
    add_head(tmp_path / "heads", head(audit.link, 0))
    audit.close()
    return audit.directory


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["audit", *words])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_a_whole_log_is_told_so(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(capsys, "verify") == (
        0,
        f"var/audit: whole: 4 entries, 1 to 4, {DAYS[0]} to {DAYS[3]}\n",
        "",
    )
    status, out, _ = typed(capsys, "verify", "--json")
    assert status == 0
    assert json.loads(out)["entries"] == 4


def test_what_is_wrong_is_told_by_line(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = segments(log)[0]
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))
    status, out, _ = typed(capsys, "verify")
    assert status == 1
    assert out.startswith("audit-000000000001.jsonl:2: it was changed")
    assert "var/audit: 1 problem in 3 entries" in out
    path.write_bytes(b"x\n" * 150)
    assert "... and " in typed(capsys, "verify")[1]


def test_what_could_not_be_checked_is_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = typed(capsys, "verify", str(log))
    assert status == 0
    assert "not checked: who wrote it" in out
    assert "not checked: whether its end was cut off" in out


def test_keys_and_heads_can_be_named(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "wrong").write_text("x" * 32)
    assert typed(capsys, "verify", str(log), "--key-file", "key", "--head", "heads")[0] == 0
    assert "somebody else wrote it" in typed(capsys, "verify", str(log), "--key-file", "wrong")[1]
    assert typed(capsys, "verify", str(log), "--key-file", "wrong", "--key-file", "key")[0] == 0
    segments(log)[0].write_bytes(b"".join(segments(log)[0].read_bytes().splitlines(keepends=True)[:3]))
    assert "the end was cut off" in typed(capsys, "verify", str(log), "--head", "heads")[1]


def test_an_export_keeps_the_links(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = typed(
        capsys, "export", "--to", "day.jsonl", "--since", "2026-01-31", "--until", "2026-02-01"
    )
    assert status == 0
    assert out.startswith("2 entries, 2 to 3; check them with: gateway audit verify day.jsonl --first 2")
    (tmp_path / "key").write_text(KEY)
    status, out, _ = typed(capsys, "verify", "day.jsonl", "--first", "2", "--key-file", "key")
    assert status == 0
    assert "whole: 2 entries, 2 to 3" in out
    assert typed(capsys, "verify", "day.jsonl")[0] == 0
    assert typed(capsys, "verify", "day.jsonl", "--first", "1")[0] == 1
    assert (tmp_path / "day.jsonl").stat().st_mode & 0o077 == 0


def test_an_export_overwrites_nothing_and_may_be_empty(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").touch()
    assert "exists already" in typed(capsys, "export", "--to", "there")[2]
    status, _, err = typed(capsys, "export", str(log), "--to", "none", "--since", "2027-01-01T00:00Z")
    assert (status, err) == (1, "no entry lies in that time\n")
    assert not (tmp_path / "none").exists()


def test_a_damaged_log_is_not_exported_in_silence(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = segments(log)[0]
    path.write_bytes(b"x" + path.read_bytes())
    status, _, err = typed(capsys, "export", "--to", "it")
    assert status == 2
    assert "see `gateway audit verify`" in err
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["verify", "nowhere"], "there is no nowhere"),
        (["verify", "--key-file", "nowhere"], "No such file"),
        (["verify", "--head", "nowhere"], "No such file"),
        (["verify", "--head", "routes.yaml"], "is no head of an audit log"),
        (["verify", "--first", "x"], "is no number of an entry"),
        (["export", "--to", "it", "--since", "yesterday"], "is no moment"),
    ],
)  # fmt: skip
def test_mistakes_are_told(
    log: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert log.exists()
    status, _, err = typed(capsys, *words)
    assert status == 2
    assert told in err


def test_without_a_log_there_is_nothing_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(CONFIG)
    assert "there is no audit log in" in typed(capsys, "verify")[2]
    (tmp_path / "routes.yaml").write_text("version: 1\nroutes: []\n")
    assert "keeps no audit log" in typed(capsys, "verify", "--config", "routes.yaml")[2]


def test_an_export_into_the_log_itself_is_refused(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "elsewhere" in typed(capsys, "export", "--to", str(log / "audit-000000000900.jsonl"))[2]
