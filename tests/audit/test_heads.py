"""Heads: one line each, in a file that only grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.chain import Link
from gateway.audit.heads import add_head, head, read_heads

LINK = Link(7, "a" * 64, "b" * 64)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    add_head(path, head(LINK, 0))
    add_head(path, head(LINK._replace(seq=8), 0))
    assert [(one.link, one.number) for one in read_heads(path)] == [(LINK, 1), (LINK._replace(seq=8), 2)]
    assert head(LINK, 0).startswith(b'{"time":"1970-01-01T00:00:00.000Z","seq":7,')
    assert path.stat().st_mode & 0o077 == 0


def test_a_torn_last_head_told_nobody(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    path.write_bytes(head(LINK, 0) + head(LINK, 0)[:30])
    assert len(list(read_heads(path))) == 1


def test_one_head_may_lack_its_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "copied from a webhook"
    path.write_bytes(head(LINK, 0).strip())
    assert [one.link for one in read_heads(path)] == [LINK]


def test_what_is_no_head_is_told(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    path.write_bytes(b'{"seq":1}\n')
    with pytest.raises(ValueError, match=r"line 1 of .* is no head"):
        list(read_heads(path))


def test_a_head_after_a_torn_one_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    path.write_bytes(head(LINK, 0)[:40])
    add_head(path, head(LINK, 0))
    assert [(one.link, one.number) for one in read_heads(path)] == [(LINK, 2)]
