"""`gateway audit verify` and `gateway audit export`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.audit.chain import BrokenLinkError, read
from gateway.audit.heads import WrittenHead, read_heads
from gateway.audit.segments import is_written, lines, segments
from gateway.audit.verify import Report, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config


def verify_log(args: argparse.Namespace, config: Config | None) -> int:
    """Exit status 0 where all holds, 1 where something does not, 2 where it cannot be told."""
    log = _log(args, config)
    keys = _keys(args, config)
    heads_file = args.head
    if heads_file is None and config is not None and config.audit is not None and config.audit.head.path:
        heads_file = config.beside(config.audit.head.path)
    first = args.first if args.first is not None else (1 if log.is_dir() else 0)
    try:
        heads: list[WrittenHead] | None = list(read_heads(heads_file)) if heads_file is not None else None
        with _progress("verifying", _size(log), quiet=args.json) as advance:
            report = verify(
                log,
                keys,
                heads,
                heads_name=heads_file.name if heads_file is not None else "head",
                first=first,
                progress=advance,
            )
    except (OSError, ValueError) as error:
        _give_up(f"{error}")
    print(
        json.dumps(asdict(report), indent=2) if args.json else _told(log, report),
        end="\n" if args.json else "",
    )
    return 1 if report.count else 0


def _told(log: Path, report: Report) -> str:
    """A report for people: what is wrong, or what holds; and what could not be checked."""
    text = "".join(f"{problem.place}: {problem.what}\n" for problem in report.problems)
    if report.count > len(report.problems):
        text += f"... and {report.count - len(report.problems)} more\n"
    held = f"{report.entries} entries, {report.first} to {report.last}, {report.begun} to {report.ended}"
    if report.count:
        text += f"{log}: {report.count} problem{'s'[: report.count != 1]} in {held}\n"
    else:
        text += f"{log}: whole: {held}\n"
    if not report.keyed:
        text += "not checked: who wrote it; that needs the key: --key-file FILE\n"
    if not report.heads:
        text += "not checked: whether its end was cut off; that needs the heads written out: --head FILE\n"
    return text


def export_log(args: argparse.Namespace, config: Config | None) -> int:
    """Copy lines as they are. Exit status 1 where none lies in that time, 2 where it cannot be done."""
    log = _log(args, config)
    files = segments(log) if log.is_dir() else [log]
    if args.to.resolve().parent == log.resolve():
        _give_up("--to names a file in the log's own directory: name one elsewhere")
    count = first = last = 0
    try:
        with args.to.open("xb") as target, _progress("exporting", _size(log)) as advance:
            os.fchmod(target.fileno(), 0o600)
            for path in files:
                for place, data in lines(path):
                    advance(len(data))
                    if not data.endswith(b"\n") and is_written(log):
                        break  # it is being written just now
                    try:
                        line = read(data.removesuffix(b"\n"))
                        moment = datetime.fromisoformat(line.entry["time"])
                    except (BrokenLinkError, KeyError, ValueError) as error:
                        raise ValueError(
                            f"{place.file}:{place.number}: {error}; see `gateway audit verify`"
                        ) from None
                    if (args.since and moment < args.since) or (args.until and moment >= args.until):
                        if count:
                            break
                        continue
                    target.write(data)
                    count, first, last = count + 1, first or line.link.seq, line.link.seq
    except FileExistsError:
        _give_up(f"{args.to} exists already: name another file with --to")
    except (OSError, ValueError) as error:
        args.to.unlink(missing_ok=True)
        _give_up(f"{error}")
    if not count:
        args.to.unlink()
        print("no entry lies in that time", file=sys.stderr)
        return 1
    print(
        f"{count} entries, {first} to {last}; check them with: gateway audit verify {args.to} --first {first}"
    )
    return 0


def _log(args: argparse.Namespace, config: Config | None) -> Path:
    if args.log is not None:
        if not args.log.exists():
            _give_up(f"there is no {args.log}")
        log: Path = args.log
        return log
    assert config is not None
    if config.audit is None:
        _give_up(f"{config.path} keeps no audit log: give it an `audit:`, or name the log's directory")
    log = config.state_dir / config.audit.directory
    if not log.is_dir():
        _give_up(f"there is no audit log in {log} yet")
    return log


def _keys(args: argparse.Namespace, config: Config | None) -> list[bytes]:
    if args.key_file:
        try:
            return [path.read_text().strip().encode() for path in args.key_file]
        except (OSError, ValueError) as error:
            _give_up(f"{error}")
    if config is None or config.audit is None:
        return []
    return [key.get_secret_value().encode() for key in (config.audit.key, *config.audit.old_keys)]


def _size(log: Path) -> int:
    return sum(path.stat().st_size for path in (segments(log) if log.is_dir() else [log]))


@contextmanager
def _progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal; told in bytes."""
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        waiting = 0

        def advance(count: int) -> None:
            nonlocal waiting
            waiting += count
            if waiting >= 1 << 20:
                bar.advance(task, waiting)
                waiting = 0

        yield advance


def _give_up(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    raise SystemExit(2)
