"""The gateway as its users run it: `with gateway(config_text) as running: running.url`.

A real `gateway serve` process on free ports, with its workers and observer, over a configuration written
for the test. When the block ends everything is stopped by its process id, and that it is gone is asserted.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx

QUICK_DRAIN = "\nserver: {drain: {delay: 0s, grace: 2s}}\n"
"""Added where a configuration says nothing about the server: no test wants to wait for its end."""
_BANNER = re.compile(r"gateway serves \d+ routes on (https?)://([^ ]+):(\d+) .*admin on (http://[^ ]+:\d+)")


class Gateway:
    """One running gateway, its configuration and all it says."""

    def __init__(
        self, folder: Path, *, workers: int, environ: Mapping[str, str], options: tuple[str, ...]
    ) -> None:
        self.folder = folder
        self.path = folder / "routes.yaml"
        self.lines: list[str] = []
        """What it and its children wrote to standard output and standard error, access log included."""
        self.url = self.admin = ""
        self.port = 0
        self._news = threading.Condition()
        self._silent = False
        command = f"-m gateway serve --config {self.path} --port 0 --admin-port 0 --workers {workers}".split()
        self.process = subprocess.Popen(
            [sys.executable, *command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | environ,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def write(self, config_text: str, policies: Mapping[str, str] | None = None) -> None:
        """Put other files in place, each at once and whole, as a careful editor does."""
        write_config(self.folder, config_text, policies or {})

    def wait_for_line(self, wanted: str | Callable[[str], object], *, seconds: float = 20) -> str:
        """The first line that contains `wanted`, or that `wanted` likes; fails where none comes."""
        likes = wanted if callable(wanted) else lambda line: wanted in line
        with self._news:
            self._news.wait_for(lambda: self._silent or any(map(likes, self.lines)), timeout=seconds)
            for line in self.lines:
                if likes(line):
                    return line
        raise AssertionError(f"no line like {wanted!r} among:\n" + "\n".join(self.lines))

    def wait_until_up(self) -> None:
        banner = _BANNER.search(self.wait_for_line(_BANNER.search))
        assert banner is not None, self.lines
        self.port = int(banner[3])
        self.url = f"{banner[1]}://{banner[2]}:{self.port}"
        self.admin = banner[4]

    def ask(self, path: str, **more: Any) -> httpx.Response:
        """GET from the admin port, or POST where `json` is given."""
        with httpx.Client(trust_env=False, timeout=10) as client:
            return client.request("POST" if "json" in more else "GET", self.admin + path, **more)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of a metric that bear `labels`; 0 where there are none."""
        total = 0.0
        for line in self.ask("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            if re.split("[{ ]", sample)[0] == name and all(f'{k}="{v}"' in sample for k, v in labels.items()):
                total += float(value)
        return total

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.ask("/api/status").json()["workers"]]

    def observer_pid(self) -> int:
        pid: int = self.ask("/api/status").json()["observer"]["pid"]
        return pid

    def stop(self, *, seconds: float = 20) -> int:
        """SIGTERM and its exit status; none of its children may outlive it."""
        if self.process.poll() is None:
            children = children_of(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            finally:
                self._kill(children)
        self._listener.join(timeout=10)
        assert not self._listener.is_alive(), "somebody still holds the gateway's standard output"
        return self.process.returncode

    def _kill(self, children: list[int]) -> None:
        """Where the gateway did not end by itself: it first, so that it starts nobody anew."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            for pid in filter(is_alive, children):
                os.kill(pid, signal.SIGKILL)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()


@contextmanager
def gateway(
    config_text: str,
    policies: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    workers: int = 1,
    *,
    options: tuple[str, ...] = (),
    files: Mapping[str, str | bytes] | None = None,
) -> Iterator[Gateway]:
    """A gateway for as long as the block lasts. `policies`: name of a list → YAML of policies/NAME.yaml;
    `files`: other files that the configuration names, by their path relative to it.

    Fails where it does not start, does not end with status 0 in time, or leaves a process behind.
    """
    with tempfile.TemporaryDirectory(prefix="gateway-test-") as name:
        folder = Path(name)
        for path, content in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
        write_config(folder, config_text, policies or {})
        running = Gateway(folder, workers=workers, environ=environ or {}, options=options)
        try:
            running.wait_until_up()
            yield running
        finally:
            status = running.stop()
        assert status == 0, f"it ended with {status}:\n" + "\n".join(running.lines[-50:])


def write_config(folder: Path, config_text: str, policies: Mapping[str, str]) -> None:
    text = dedent(config_text)
    files = {
        folder / "routes.yaml": text if re.search("^server:", text, re.MULTILINE) else text + QUICK_DRAIN
    }
    files |= {folder / "policies" / f"{name}.yaml": dedent(text) for name, text in policies.items()}
    (folder / "policies").mkdir(exist_ok=True)
    for path, content in files.items():
        written = path.with_suffix(".written")
        written.write_text(content)
        written.replace(path)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def resident_bytes(pid: int) -> int:
    """The memory a process holds, as Linux counts it (VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def eventually(true: Callable[[], object], *, seconds: float = 10) -> None:
    """Returns as soon as `true()` holds; fails after `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"{true} never held"
        time.sleep(0.01)
