"""Every edit of a log is detected: changed, removed, moved lines, a cut end, all of it written anew."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit.chain import START, seal
from gateway.audit.heads import WrittenHead
from gateway.audit.log import AuditLog
from gateway.audit.segments import segments
from gateway.audit.verify import PROBLEMS_LIMIT, verify
from tests.audit.test_log import KEY, OTHER, entry, write

EDITS = int(os.environ.get("EDITS", "10000"))
SEED = int(os.environ.get("SEED", "4"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Five files of 30 entries in all."""
    write(tmp_path / "log", *[2] * 15, segment_bytes=2048).close()
    return tmp_path / "log"


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def heads_of(log: Path, *, every: int = 1) -> list[WrittenHead]:
    from gateway.audit.chain import read

    links = [read(line[:-1]).link for path in segments(log) for line in lines_of(path)]
    return [WrittenHead(link, number) for number, link in enumerate(links[every - 1 :: every], 1)]


def change_a_byte(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :]


def remove_a_byte(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at + 1 :]


def add_a_byte(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.randbytes(1) + data[at:]


def remove_a_line(data: bytes, dice: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[dice.randrange(len(lines))]
    return b"".join(lines)


def repeat_a_line(data: bytes, dice: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    return b"".join(lines)


def swap_two_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    one, two = dice.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


def cut_the_end(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def forge_a_line(data: bytes, dice: random.Random) -> bytes:
    """By one who understands the chain, and lacks the key."""
    lines = data.splitlines(keepends=True)
    lines[dice.randrange(len(lines))], _ = seal(entry(dice.randrange(99)), START, OTHER)
    return b"".join(lines)


HANDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    change_a_byte,
    remove_a_byte,
    add_a_byte,
    remove_a_line,
    repeat_a_line,
    swap_two_lines,
    cut_the_end,
    forge_a_line,
)


def put(path: Path, data: bytes) -> None:
    """Of a small log, against its key and last head, as an auditor has them. EDITS, SEED: others."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def test_every_one_of_ten_thousand_random_edits_is_detected(tmp_path: Path) -> None:
    """Of a small log, against its key and last head, as an auditor has them; EDITS and SEED may say more."""
    write(log := tmp_path / "log", *[2] * 5, segment_bytes=1024).close()
    dice = random.Random(SEED)
    heads = heads_of(log)[-1:]
    files = segments(log)
    contents = {path: path.read_bytes() for path in files}
    assert verify(log, [KEY], heads).count == 0
    undetected = []
    for number in range(EDITS):
        path, hand = dice.choice(files), dice.choice(HANDS)
        edited = hand(contents[path], dice)
        if edited == contents[path]:
            continue
        put(path, edited)
        if not verify(log, [KEY], heads).count:
            undetected.append((number, hand.__name__, path.name))
        put(path, contents[path])
    assert not undetected, f"with SEED={SEED}"
    assert verify(log, [KEY], heads).count == 0


def test_a_changed_line_is_one_problem_at_its_place(log: Path) -> None:
    path = segments(log)[1]
    lines = lines_of(path)
    lines[1] = lines[1].replace(b'"kind":"call"', b'"kind":"cell"')
    path.write_bytes(b"".join(lines))
    report = verify(log, [KEY])
    assert [(problem.place, problem.what) for problem in report.problems] == [
        (f"{path.name}:2", "it was changed: its hash is of other words")
    ]


def test_removed_lines_are_told_by_number(log: Path) -> None:
    path = segments(log)[0]
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert [problem.what for problem in verify(log).problems] == ["entry 3 is missing"]
    path.write_bytes(b"".join(lines[:2] + lines[5:]))
    assert [problem.what for problem in verify(log).problems] == ["entries 3 to 5 are missing"]


def test_a_file_that_was_removed_is_told(log: Path) -> None:
    gone = segments(log)[1]
    gone.unlink()
    (problem,) = verify(log, [KEY]).problems
    assert "are missing" in problem.what


def test_the_beginning_may_be_archived_where_that_is_said(log: Path) -> None:
    first, second = segments(log)[:2]
    first.unlink()
    (problem,) = verify(log, [KEY], heads_of(log)).problems
    assert "are missing" in problem.what
    begins = int(second.name[6:18])
    report = verify(log, [KEY], heads_of(log), first=begins)
    assert (report.count, report.first) == (0, begins)
    assert "begins with entry" in verify(log, [KEY], first=begins + 1).problems[0].what
    assert verify(log, [KEY], first=0).count == 0


def test_a_cut_end_shows_against_the_heads_only(log: Path) -> None:
    heads = heads_of(log, every=5)
    last = segments(log)[-1]
    last.unlink()
    assert verify(log, [KEY]).count == 0, "a chain alone cannot show it"
    problems = verify(log, [KEY], heads).problems
    assert problems
    assert all("the end was cut off" in problem.what for problem in problems)


def test_a_log_written_anew_by_one_who_knows_the_key_shows_against_the_heads(
    log: Path, tmp_path: Path
) -> None:
    heads = heads_of(log, every=5)
    anew = tmp_path / "anew"
    audit = AuditLog(anew, KEY)
    audit.append([{**entry(number), "code": "NOTHING_HAPPENED"} for number in range(30)])
    audit.close()
    assert verify(anew, [KEY]).count == 0
    report = verify(anew, [KEY], heads, heads_name="audit.heads")
    assert report.count == len(heads)
    assert "was written anew (audit.heads:1)" in report.problems[0].what


def test_one_who_lacks_the_key_cannot_write_it_anew(log: Path) -> None:
    for path in segments(log):
        path.unlink()
    link = START
    with (log / "audit-000000000001.jsonl").open("wb") as file:
        for number in range(5):
            line, link = seal(entry(number), link, OTHER)
            file.write(line)
    assert verify(log).count == 0
    assert verify(log, [KEY]).count == 5


def test_a_file_under_another_name_is_told(log: Path) -> None:
    path = segments(log)[-1]
    path.rename(path.with_name("audit-000000000999.jsonl"))
    (problem,) = verify(log, [KEY]).problems
    assert "the file's name" in problem.what


def test_a_torn_end_is_told(log: Path) -> None:
    path = segments(log)[-1]
    path.write_bytes(path.read_bytes() + b'{"seq":')
    (problem,) = verify(log, [KEY]).problems
    assert "torn" in problem.what


def test_an_empty_log_is_told(tmp_path: Path) -> None:
    assert verify(tmp_path).problems[0].what == "there are no entries"


def test_problems_are_counted_beyond_those_that_are_kept(log: Path) -> None:
    for path in segments(log):
        path.write_bytes(b"x\n" * 100)
    report = verify(log)
    assert len(report.problems) == PROBLEMS_LIMIT
    assert report.count > PROBLEMS_LIMIT


def test_progress_tells_every_byte(log: Path) -> None:
    told: list[int] = []
    verify(log, progress=told.append)
    assert sum(told) == sum(path.stat().st_size for path in segments(log))


def test_an_emptied_file_of_heads_is_told(log: Path) -> None:
    (problem,) = verify(log, [KEY], []).problems
    assert "tells of no head" in problem.what


def test_what_is_being_written_is_not_torn(log: Path) -> None:
    writer = AuditLog(log, KEY)
    path = segments(log)[-1]
    path.write_bytes(path.read_bytes() + b'{"seq":')
    assert verify(log, [KEY]).count == 0
    writer.close()
    assert verify(log, [KEY]).count == 1


def test_a_long_line_is_read_whole(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path, KEY)
    audit.append(
        [{"time": "2026-01-31T12:00:00.000Z", "kind": "configuration", "changes": ["x" * 2_000_000]}]
    )
    audit.append([entry(2)])
    audit.close()
    assert verify(tmp_path, [KEY]).count == 0
