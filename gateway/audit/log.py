"""The writer of an audit log: append, rotate, recover. Blocking, and used by one thread at a time.

What `append` has returned from is on the disk (fsync). What a crash tore in mid-write was never vouched for:
it is cut off, and the next entry tells so.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from time import time

from gateway.audit.chain import START, BrokenLinkError, Entry, Link, is_authentic, read, seal
from gateway.audit.segments import begun_of, first_of, last_line, name_of, segments

SHOWN_LIMIT = 512
"""Bytes of a torn line that the next entry shows."""


class DamagedError(Exception):
    """The log does not end as it was written; the message says where, and what to do."""


class InUseError(Exception):
    """Another gateway writes this log."""


class AuditLog:
    """One log. Raises `OSError`, `DamagedError` or `InUseError` where it cannot be opened."""

    def __init__(
        self,
        directory: Path,
        key: bytes,
        *,
        old_keys: tuple[bytes, ...] = (),
        segment_bytes: int = 64 * 1024 * 1024,
        segment_seconds: float = 86_400.0,
        now: Callable[[], float] = time,
    ) -> None:
        self.directory, self.key, self.keys = directory, key, (key, *old_keys)
        self.segment_bytes, self.segment_seconds, self.now = segment_bytes, segment_seconds, now
        self.link: Link = START
        """After its last line."""
        self.torn = b""
        """What was cut off when it was opened."""
        self.path: Path | None = None
        self._file = -1
        self._size = 0
        """Bytes that are known to be on the disk."""
        self._begun = 0.0
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = self._take()
        try:
            self._resume()
        except BaseException:
            self.close()
            raise

    def _take(self) -> int:
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise InUseError(f"another gateway writes the audit log in {self.directory}") from None
        return lock

    def _resume(self) -> None:
        """Go on where the last writer stopped."""
        there = segments(self.directory)
        for path in reversed(there):
            line, end = last_line(path)
            if path is there[-1]:
                self.path, self._size, self._begun = path, end, begun_of(path)
                self._open()
            if line:
                self.link = self._vouched(path, line)
                return
        if there and (len(there) > 1 or first_of(there[0]) != 1):
            raise DamagedError(f"{there[0]} is empty; {_ADVICE}")

    def _vouched(self, path: Path, line: bytes) -> Link:
        try:
            link = read(line).link
        except BrokenLinkError as error:
            raise DamagedError(
                f"the last line of {path} is not as it was written: {error}; {_ADVICE}"
            ) from None
        if not is_authentic(link, self.keys):
            told = f"the last line of {path} was written under another key: add that to audit.old_keys, or"
            raise DamagedError(f"{told} {_ADVICE}")
        return link

    def _open(self) -> None:
        """Append to the segment at hand. Bytes behind those that are known to be there count for nothing."""
        assert self.path is not None
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            if size < self._size:
                raise DamagedError(f"{self.path} has become shorter; {_ADVICE}")
            if size > self._size:
                self.torn = os.pread(file, SHOWN_LIMIT, self._size)
                os.ftruncate(file, self._size)
                os.fsync(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def recovered(self) -> Entry | None:
        """What the first entry after a crash has to tell; None where nothing was cut off."""
        torn, self.torn = self.torn, b""
        if not torn:
            return None
        cut = torn.decode("ascii", "backslashreplace")
        return {"kind": "audit", "event": "recovered", "cut": cut}

    def append(self, entries: Sequence[Entry]) -> Link:
        """Write entries and wait for the disk. Raises `OSError`; then none of them counts as written."""
        if self.path is None or self._is_full():
            self._rotate()
        elif self._file < 0:
            self._open()
            self.torn = b""  # of our own failed write: it comes again
        link, written = self.link, bytearray()
        for entry in entries:
            line, link = seal(entry, link, self.key)
            written += line
        try:
            _write(self._file, written)
            os.fsync(self._file)
        except OSError:
            # After a failed fsync nothing is known about what the open file shows: cut back, begin anew.
            os.close(self._file)
            self._file = -1
            raise
        self._size += len(written)
        self.link = link
        return link

    def _is_full(self) -> bool:
        return self._size > 0 and (
            self._size >= self.segment_bytes or self.now() - self._begun >= self.segment_seconds
        )

    def _rotate(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.path, self._size, self._begun = self.directory / name_of(self.link.seq + 1), 0, self.now()
        self._open()
        folder = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let another writer have it."""
        for file in (self._file, self._lock):
            if file >= 0:
                os.close(file)
        self._file = self._lock = -1

    def __repr__(self) -> str:
        return f"<AuditLog {self.directory}, {self.link.seq} entries>"


_ADVICE = (
    "see what `gateway audit verify` tells, and move the directory away to begin a new log: "
    "what is in it is evidence, so nothing is mended here"
)


def _write(file: int, data: bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
