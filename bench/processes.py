"""The benchmark's processes, on one core each: what they cost, what they hold, what they printed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PROXY_CORE, LOAD_CORE = 0, 1
"""The proxy under test has the first core to itself; origin, sink, load and harness share the second."""

SOURCES = {"PYTHONPATH": str(Path(__file__).parent.parent)}
"""The environment in which `python -m bench.…` finds this package from any folder."""

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
POLL_SECONDS = 0.02


class StartError(RuntimeError):
    """A command could not be started, ended too early, or was late: the message has its last words."""


@dataclass(frozen=True, slots=True)
class Status:
    """One line of /proc/PID/stat, as far as it matters here."""

    parent: int
    session: int
    zombie: bool
    cpu_ticks: int
    """User and system time of the process and of those of its children that ended."""
    began_ticks: int
    """Since the machine started: with the id it tells a process from a later one of the same id."""

    @classmethod
    def parse(cls, line: str) -> Self:
        """The command's name stands in brackets and may hold anything, brackets too: the last one ends it."""
        fields = line.rpartition(")")[2].split()
        return cls(
            parent=int(fields[1]),
            session=int(fields[3]),
            zombie=fields[0] in "ZX",
            cpu_ticks=sum(int(field) for field in fields[11:15]),
            began_ticks=int(fields[19]),
        )


def statuses() -> dict[int, Status]:
    """Every process there is, by its id."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = Status.parse((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
    return found


def tree(root: int) -> dict[int, Status]:
    """The process `root`, its descendants, and whoever else belongs to its session, orphans thus included."""
    everyone = statuses()
    chosen = {pid for pid, status in everyone.items() if root in (pid, status.session)}
    grown = True
    while grown:
        more = {pid for pid, status in everyone.items() if status.parent in chosen} - chosen
        chosen |= more
        grown = bool(more)
    return {pid: everyone[pid] for pid in sorted(chosen)}


class Process:
    """One started command with all that it starts; as a context manager it ends with its block."""

    def __init__(self, popen: subprocess.Popen[bytes], log_file: Path) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.log_file = log_file

    def __repr__(self) -> str:
        state = "running" if self.running() else f"ended with {self.popen.returncode}"
        return f"<Process {self.pid} {self.log_file.name}: {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def running(self) -> bool:
        return self.popen.poll() is None

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree so far, children that ended included."""
        return sum(status.cpu_ticks for status in tree(self.pid).values()) / TICKS

    def rss_bytes(self) -> dict[int, tuple[str, int]]:
        """Process id → command line and resident bytes, for the whole tree; shared pages count in each."""
        found = {}
        for pid, status in tree(self.pid).items():
            try:
                command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").strip()
                pages = int((PROC / str(pid) / "statm").read_text().split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if not status.zombie:
                found[pid] = (command.decode(errors="replace"), pages * PAGE_BYTES)
        return found

    def log(self) -> str:
        """What it printed so far, on both outputs."""
        return self.log_file.read_text(errors="replace")

    def stop(self, patience: float = 10) -> None:
        """SIGTERM to the command; whatever of its tree is left after `patience` seconds gets SIGKILL."""
        members = tree(self.pid)
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                members |= tree(self.pid)
                self.popen.kill()
        self.popen.wait()
        for pid, member in members.items():
            kill(pid, member)


def kill(pid: int, known: Status) -> None:
    """SIGKILL to what a command left behind, and wait for its end; who has its id by now is left alone."""
    while True:
        try:
            now = Status.parse((PROC / str(pid) / "stat").read_text())
            if now.zombie or now.began_ticks != known.began_ticks:
                return
            os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(POLL_SECONDS)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run the block, and whatever is started in it, on one core."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        raise StartError(
            f"core {core} cannot be had: the benchmark needs two, {PROXY_CORE} and {LOAD_CORE}"
        ) from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(
    argv: list[str],
    *,
    core: int,
    directory: Path,
    env: Mapping[str, str] | None = None,
    ready: Callable[[], bool] | int,
    timeout: float = 20,
) -> Process:
    """Start a command on a core, in a directory, and wait until it is ready.

    `ready` is a port of 127.0.0.1 that must accept, or a predicate. `env` is added to the environment. What
    the command prints goes to a file in the directory. StartError is raised when it ends early or is late.
    """
    accepted = (lambda: accepts(ready)) if isinstance(ready, int) else ready
    number, name = tempfile.mkstemp(prefix=f"{Path(argv[0]).name}-", suffix=".log", dir=directory)
    with open(number, "wb") as output, pinned(core):  # noqa: PTH123  an open file, by its number
        try:
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"{argv[0]} cannot be started: {error}") from error
    process = Process(popen, Path(name))
    try:
        wait_until_ready(process, accepted, argv[0], timeout)
    except BaseException:
        process.stop(patience=2)
        raise
    return process


def wait_until_ready(process: Process, ready: Callable[[], bool], command: str, timeout: float) -> None:
    """Return when it is ready; StartError with the end of its log when it ended before, or took too long."""
    late = time.monotonic() + timeout
    while True:
        if not process.running():
            why = f"ended with {process.popen.returncode}"
        elif ready():
            return
        elif time.monotonic() > late:
            why = f"was not ready within {timeout:g} s"
        else:
            time.sleep(POLL_SECONDS)
            continue
        raise StartError(f"{command} {why}; its last words:\n{process.log()[-2000:]}")


def accepts(port: int) -> bool:
    """Does someone accept connections there?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
