"""Whether an audit log is what was written: every line, every link, every MAC, and every head it ever told.

A changed line, a removed one, an added one and one in another place are each found, told by file and line.
That the end was cut off, or that one who knows the key wrote everything anew, shows against the heads that
were written out; without any it cannot be shown, and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.chain import GENESIS, SEAL_LENGTH, BrokenLinkError, Line, Link, is_authentic, read
from gateway.audit.heads import WrittenHead
from gateway.audit.segments import Place, first_of, is_written, lines, segments

PROBLEMS_LIMIT = 100
"""Problems that are kept; all are counted."""


@dataclass
class Problem:
    """What is wrong, and where."""

    place: str
    """`audit-000000000001.jsonl:7`"""
    what: str


@dataclass
class Report:
    """What verification found."""

    entries: int = 0
    first: int = 0
    """Number of the first entry."""
    last: int = 0
    begun: str = ""
    """Time of the first entry."""
    ended: str = ""
    heads: int = 0
    """Heads that it was held against."""
    keyed: bool = True
    """The MACs were checked, not only the links."""
    count: int = 0
    """Problems in all."""
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""

    def add(self, place: str, what: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self.problems) < PROBLEMS_LIMIT:
            self.problems.append(Problem(place, what))


def verify(
    log: Path,
    keys: Sequence[bytes] = (),
    heads: Iterable[WrittenHead] | None = None,
    *,
    heads_name: str = "head",
    first: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check a log's directory, or one file of an export.

    `first`: the number the log is expected to begin with; 0 for any. `progress` is told each line's bytes.
    Raises `OSError`.
    """
    report = Report(keyed=bool(keys))
    wanted: dict[int, list[WrittenHead]] = {}
    for one in heads or ():
        wanted.setdefault(one.link.seq, []).append(one)
        report.heads += 1
    before: Link | None = Link(0, GENESIS, "") if first == 1 else None
    place = Place(log, 0)
    for place, data in _lines(log, report):
        progress(len(data) + 1)
        where = f"{place.file.name}:{place.number}"
        try:
            line = read(data)
        except BrokenLinkError as error:
            report.add(where, str(error))
            before = _claimed(before, data)
            continue
        _note(report, line)
        _hold_against(line, before, first, where, report, heads_name=heads_name, wanted=wanted)
        if place.number == 1 and first_of(place.file) not in (0, line.link.seq):
            report.add(
                where, f"the file's name tells of entry {first_of(place.file)}, and this is {line.link.seq}"
            )
        if keys and not is_authentic(line.link, tuple(keys)):
            report.add(where, "its MAC is not of the key: somebody else wrote it")
        before = line.link
    for seq, missing in sorted(wanted.items()):
        if report.first and seq < report.first:
            continue  # of entries that are kept elsewhere
        for one in missing:
            report.add(
                f"{heads_name}:{one.number}",
                f"it tells of entry {seq}, which is not there: the end was cut off",
            )
    if heads is not None and not report.heads and report.entries:
        report.add(heads_name, "it tells of no head: it was emptied, or is another file")
    if not report.entries and not report.count:
        report.add(str(log), "there are no entries")
    return report


def _lines(log: Path, report: Report) -> Iterator[tuple[Place, bytes]]:
    alive = log.is_dir() and is_written(log)
    files = segments(log) if log.is_dir() else [log]
    for path in files:
        for place, line in lines(path):
            if line.endswith(b"\n"):
                yield place, line[:-1]
            elif not (alive and path is files[-1]):  # else it is being written just now
                where = f"{path.name}:{place.number}"
                report.add(where, "it is torn: the writer died here, and nobody went on since")


def _claimed(before: Link | None, data: bytes) -> Link | None:
    """Where the chain goes on behind a line that was changed, so that one change is one problem."""
    digest = data[-SEAL_LENGTH:][9:73].decode("ascii", "replace")
    return None if before is None or len(data) < SEAL_LENGTH else Link(before.seq + 1, digest, "")


def _note(report: Report, line: Line) -> None:
    report.entries += 1
    report.last = line.link.seq
    time = line.entry.get("time")
    report.ended = time if isinstance(time, str) else report.ended
    if not report.first:
        report.first, report.begun = line.link.seq, report.ended


def _hold_against(
    line: Line,
    before: Link | None,
    first: int,
    where: str,
    report: Report,
    *,
    heads_name: str,
    wanted: dict[int, list[WrittenHead]],
) -> None:
    seq = line.link.seq
    if before is None:
        if first not in (0, seq) and report.entries == 1:
            report.add(where, f"the log begins with entry {seq}, not {first}")
    elif seq != before.seq + 1:
        gap = f"entry {before.seq + 1} is missing" if seq == before.seq + 2 else _gap(before.seq, seq)
        report.add(where, gap)
    elif line.previous != before.hash:
        report.add(where, "it does not follow the line before: that one was changed, or another was here")
    for one in wanted.pop(seq, []):
        if one.link.hash != line.link.hash:
            told = "another line was here when the head was written: the log was written anew"
            report.add(where, f"{told} ({heads_name}:{one.number})")


def _gap(before: int, seq: int) -> str:
    if seq > before:
        return f"entries {before + 1} to {seq - 1} are missing"
    return f"entry {seq} stands behind entry {before}: it was moved or repeated"
